"""Interface Specification, "Certification", witnesses: the part of a tree that was asked for, the rest pruned.

A tree is never built as a whole. Levels describe it lazily and `witness` builds what was asked for, so that an answer
costs the same with one canister and with thousands. What was not asked for stands there as a pruned node with a random
digest: a reader can conclude nothing from it, neither presence nor absence. Absence of what was asked for is proven by
its neighbours, as everywhere on the IC.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

from icmigrate.protocol import hash_tree
from icmigrate.protocol.hash_tree import HashTree

Path = Sequence[bytes]


class Level(Protocol):
    """The children of one inner node."""

    def child(self, label: bytes) -> Node | None: ...

    def neighbours(self, label: bytes) -> tuple[bytes | None, bytes | None]:
        """The nearest labels present before and behind an absent one."""

    def labels(self) -> Iterable[bytes]:
        """All labels; asked only where a whole subtree is revealed."""


@dataclass(frozen=True)
class Wide:
    """A level with many children that are looked up one by one."""

    keys: Callable[[], Iterable[bytes]]
    find: Callable[[bytes], Node | None]

    def child(self, label: bytes) -> Node | None:
        return self.find(label)

    def neighbours(self, label: bytes) -> tuple[bytes | None, bytes | None]:
        before = max((key for key in self.keys() if key < label), default=None)
        behind = min((key for key in self.keys() if key > label), default=None)
        return before, behind

    def labels(self) -> Iterable[bytes]:
        return self.keys()


def children(of: Mapping[bytes, Node]) -> Wide:
    """A level with few children, given as a mapping."""
    return Wide(lambda: of.keys(), of.get)


Node = bytes | Level | Callable[[], bytes]
"""A leaf, an inner node, or a leaf that is computed when it is revealed."""


def witness(root: Level, paths: Iterable[Path]) -> HashTree:
    """The part of the tree below `root` that answers `paths`: each is found with all below it, or proven absent."""
    asked: _Asked = {}
    for path in paths:
        _ask(asked, path)
    return _reveal_level(root, asked)


_Asked = dict[bytes, "_Asked | None"]
"""The asked paths as a trie; None stands for everything below."""


def _ask(trie: _Asked, path: Path) -> None:
    *inner, last = path
    for label in inner:
        below = trie.setdefault(label, {})
        if below is None:
            return
        trie = below
    trie[last] = None


def _reveal(node: Node, asked: _Asked | None) -> HashTree:
    if callable(node):
        node = node()
    if isinstance(node, bytes):
        return hash_tree.Leaf(node)
    if asked is None:
        everything: list[HashTree] = [
            hash_tree.Labeled(label, _reveal(child, None))
            for label in sorted(node.labels())
            if (child := node.child(label)) is not None
        ]
        return _fork(everything)
    return _reveal_level(node, asked)


def _reveal_level(level: Level, asked: _Asked) -> HashTree:
    shown: dict[bytes, HashTree] = {}
    closed: set[tuple[bytes | None, bytes | None]] = set()  # pairs with nothing between them
    for label, below in asked.items():
        child = level.child(label)
        if child is not None:
            shown[label] = _reveal(child, below)
        else:
            closed.add(level.neighbours(label))
    for neighbour in {label for pair in closed for label in pair if label is not None}:
        shown.setdefault(neighbour, _unknown())
    labels: list[bytes | None] = [None, *sorted(shown), None]
    parts: list[HashTree] = []
    for before, behind in pairwise(labels):
        if (before, behind) not in closed:
            parts.append(_unknown())
        if behind is not None:
            parts.append(hash_tree.Labeled(behind, shown[behind]))
    return _fork(parts)


def _unknown() -> HashTree:
    return hash_tree.Pruned(os.urandom(32))


def _fork(parts: list[HashTree]) -> HashTree:
    if not parts:
        return hash_tree.Empty()
    if len(parts) == 1:
        return parts[0]
    middle = len(parts) // 2
    return hash_tree.Fork(_fork(parts[:middle]), _fork(parts[middle:]))
