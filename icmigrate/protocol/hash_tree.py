"""Interface Specification, "Certification": hash trees, their root hash, lookup, pruning and encoding."""

from __future__ import annotations

import hashlib
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

from icmigrate.errors import CertificateError

# The same limit as the replica's; a data certificate of a canister with many assets comes near half of it.
MAX_DEPTH = 128
HASH_LENGTH = 32


def _hash(domain: bytes, *parts: bytes) -> bytes:
    return hashlib.sha256(b"".join((bytes((len(domain),)), domain, *parts))).digest()


@dataclass(frozen=True)
class Empty:
    """Nothing."""

    @cached_property
    def hash(self) -> bytes:
        return _hash(b"ic-hashtree-empty")


@dataclass(frozen=True)
class Fork:
    """Two trees side by side; every label on the left is less than every label on the right."""

    left: HashTree
    right: HashTree

    @cached_property
    def hash(self) -> bytes:
        return _hash(b"ic-hashtree-fork", self.left.hash, self.right.hash)


@dataclass(frozen=True)
class Labeled:
    """A tree under a label."""

    label: bytes
    tree: HashTree

    @cached_property
    def hash(self) -> bytes:
        return _hash(b"ic-hashtree-labeled", self.label, self.tree.hash)


@dataclass(frozen=True)
class Leaf:
    """A value."""

    value: bytes

    @cached_property
    def hash(self) -> bytes:
        return _hash(b"ic-hashtree-leaf", self.value)


@dataclass(frozen=True)
class Pruned:
    """A tree of which only the hash is known."""

    hash: bytes


HashTree: TypeAlias = Empty | Fork | Labeled | Leaf | Pruned
EMPTY = Empty()


@dataclass(frozen=True)
class Found:
    """The path has this value."""

    value: bytes


@dataclass(frozen=True)
class FoundTree:
    """The path leads to this tree."""

    tree: HashTree


@dataclass(frozen=True)
class Absent:
    """The path is provably not in the tree."""


@dataclass(frozen=True)
class Unknown:
    """The path may have been pruned away."""


@dataclass(frozen=True)
class Error:
    """The path is in the tree but has no value."""


def digest(tree: HashTree) -> bytes:
    """The root hash (32 bytes)."""
    return tree.hash


def lookup(tree: HashTree, path: Sequence[bytes]) -> Found | Absent | Unknown | Error:
    """What the tree proves about the value at `path` ("Lookup")."""
    result = lookup_subtree(tree, path)
    if not isinstance(result, FoundTree):
        return result
    match result.tree:
        case Leaf(value):
            return Found(value)
        case Empty():
            return Absent()
        case Pruned():
            return Unknown()
        case _:
            return Error()


def lookup_subtree(tree: HashTree, path: Sequence[bytes]) -> FoundTree | Absent | Unknown:
    """What the tree proves about the subtree at `path`."""
    for label in path:
        result = _find_label(label, list(_flatten_forks(tree)))
        if not isinstance(result, FoundTree):
            return result
        tree = result.tree
    return FoundTree(tree)


def list_labels(tree: HashTree, path: Sequence[bytes] = ()) -> list[bytes]:
    """The labels right below `path`, as far as revealed, in order; none if the path itself is not."""
    result = lookup_subtree(tree, path)
    if not isinstance(result, FoundTree):
        return []
    return [node.label for node in _flatten_forks(result.tree) if isinstance(node, Labeled)]


def _flatten_forks(tree: HashTree) -> Iterator[HashTree]:
    match tree:
        case Empty():
            return
        case Fork(left, right):
            yield from _flatten_forks(left)
            yield from _flatten_forks(right)
        case _:
            yield tree


def _find_label(label: bytes, trees: list[HashTree]) -> FoundTree | Absent | Unknown:
    if not trees or (len(trees) == 1 and isinstance(trees[0], Leaf)):
        return Absent()
    below = True  # whether everything up to here is known to lie below the label
    for tree in trees:
        if not isinstance(tree, Labeled):
            below = False
        elif tree.label == label:
            return FoundTree(tree.tree)
        elif tree.label < label:
            below = True
        else:
            return Absent() if below else Unknown()
    return Absent() if below else Unknown()


# -- building --------------------------------------------------------------------------------------

Nested: TypeAlias = Mapping[bytes, "bytes | Nested | HashTree"]


def build(nested: Nested) -> HashTree:
    """The tree of nested mappings: labels sorted, forks balanced. A ready tree may stand for a mapping."""
    return _balanced([Labeled(label, _subtree(nested[label])) for label in sorted(nested)])


def _subtree(value: bytes | Nested | HashTree) -> HashTree:
    if isinstance(value, bytes):
        return Leaf(value)
    if isinstance(value, Empty | Fork | Labeled | Leaf | Pruned):
        return value
    return build(value)


def _balanced(trees: Sequence[HashTree]) -> HashTree:
    if len(trees) < 2:
        return trees[0] if trees else EMPTY
    middle = len(trees) // 2
    return Fork(_balanced(trees[:middle]), _balanced(trees[middle:]))


# -- pruning ---------------------------------------------------------------------------------------


def prune(tree: HashTree, paths: Iterable[Sequence[bytes]]) -> HashTree:
    """The witness of `paths`: everything at and below them, or the neighbours that prove them absent; all
    else pruned.

    The root hash stays the same. Costs O(log n) for each label of a path in a tree whose hashes are known.
    """
    rests: dict[bytes, list[Sequence[bytes]]] = {}
    for path in paths:
        if not path:
            return tree
        rests.setdefault(path[0], []).append(path[1:])
    if not rests or isinstance(tree, Leaf | Pruned):
        # A leaf has no labels: it is itself the proof that the path is absent.
        return tree if rests else Pruned(tree.hash)
    keep: dict[bytes, list[Sequence[bytes]]] = {}
    for label, rest in rests.items():
        below, above = _neighbours(tree, label)
        for neighbour in (below, above):
            if neighbour is not None:
                keep.setdefault(neighbour, [])
        if below == label:
            keep[label] = rest
    if not keep:  # nothing is labeled here: nothing to choose from
        return tree
    return _keep(tree, sorted(keep), keep)


def _keep(tree: HashTree, labels: Sequence[bytes], rests: Mapping[bytes, list[Sequence[bytes]]]) -> HashTree:
    match tree:
        case Empty():
            return tree
        case Fork(left, right):
            boundary = _first_label(right)
            middle = len(labels) if boundary is None else bisect_left(labels, boundary)
            lower = _keep(left, labels[:middle], rests)
            upper = _keep(right, labels[middle:], rests)
            if isinstance(lower, Pruned | Empty) and isinstance(upper, Pruned | Empty):
                return Pruned(tree.hash)
            return Fork(lower, upper)
        case Labeled(label, subtree) if label in labels:
            return Labeled(label, prune(subtree, rests[label]))
        case _:
            return Pruned(tree.hash)


def _neighbours(tree: HashTree, label: bytes) -> tuple[bytes | None, bytes | None]:
    """The greatest revealed label <= `label` and the least >= `label`."""
    match tree:
        case Labeled(own, _):
            return (own if own <= label else None), (own if own >= label else None)
        case Fork(left, right):
            boundary = _first_label(right)
            if boundary is None or label < boundary:
                below, above = _neighbours(left, label)
                return below, above if above is not None else boundary
            below, above = _neighbours(right, label)
            return below, above
        case _:
            return None, None


def _first_label(tree: HashTree) -> bytes | None:
    while isinstance(tree, Fork):
        first = _first_label(tree.left)
        if first is not None:
            return first
        tree = tree.right
    return tree.label if isinstance(tree, Labeled) else None


# -- encoding --------------------------------------------------------------------------------------


def to_cbor_value(tree: HashTree) -> list[object]:
    """The tree as nested lists, ready for `cbor.dumps`."""
    match tree:
        case Empty():
            return [0]
        case Fork(left, right):
            return [1, to_cbor_value(left), to_cbor_value(right)]
        case Labeled(label, subtree):
            return [2, label, to_cbor_value(subtree)]
        case Leaf(value):
            return [3, value]
        case Pruned(hash):
            return [4, hash]


def from_cbor_value(value: object, *, max_depth: int = MAX_DEPTH) -> HashTree:
    """The tree of nested lists as `cbor.loads` returns them. Raises `CertificateError` for other forms."""
    if max_depth <= 0:
        raise CertificateError("the hash tree is too deep")
    match value:
        case [0]:
            return EMPTY
        case [1, left, right]:
            return Fork(
                from_cbor_value(left, max_depth=max_depth - 1),
                from_cbor_value(right, max_depth=max_depth - 1),
            )
        case [2, bytes(label), subtree]:
            return Labeled(label, from_cbor_value(subtree, max_depth=max_depth - 1))
        case [3, bytes(leaf)]:
            return Leaf(leaf)
        case [4, bytes(hash)] if len(hash) == HASH_LENGTH:
            return Pruned(hash)
    raise CertificateError("not a hash tree")
