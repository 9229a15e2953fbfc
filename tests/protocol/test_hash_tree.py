"""Hash trees and witnesses: what they prove, and what they leave open."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from icmigrate.errors import CertificateError
from icmigrate.protocol import cbor, hash_tree
from icmigrate.protocol.hash_tree import Absent, Error, Found, HashTree, Unknown

# The example of the Interface Specification, "Certification".
EXAMPLE = bytes.fromhex(
    "8301830183024161830183018302417882034568656c6c6f810083024179820345776f726c6483024162820344676f6f64"
    "8301830241638100830241648203476d6f726e696e67"
)
EXAMPLE_HASH = "eb5c5b2195e62d996b84c9bcc8259d19a83786a2f59e0878cec84c811f669aa0"
EXAMPLE_PRUNED = bytes.fromhex(
    "83018301830241618301820458201b4feff9bef8131788b0c9dc6dbad6e81e524249c879e9f10f71ce3749f5a638830241798203"
    "45776f726c6483024162820458207b32ac0c6ba8ce35ac82c255fc7906f7fc130dab2a090f80fe12f9c2cae83ba6830182045820"
    "ec8324b8a1f1ac16bd2e806edba78006479c9877fed4eb464a25485465af601d830241648203476d6f726e696e67"
)


def parse(data: bytes) -> HashTree:
    return hash_tree.from_cbor_value(cbor.loads(data))


def test_the_specification_s_example_has_its_hash() -> None:
    assert hash_tree.digest(parse(EXAMPLE)).hex() == EXAMPLE_HASH


def test_the_specification_s_example_is_pruned_as_there() -> None:
    pruned = hash_tree.prune(parse(EXAMPLE), [[b"a", b"y"], [b"ax"], [b"d"]])
    assert pruned == parse(EXAMPLE_PRUNED)
    assert hash_tree.digest(pruned).hex() == EXAMPLE_HASH


@pytest.mark.parametrize(
    ("path", "result"),
    [
        ("a/a", Unknown()),
        ("a/y", Found(b"world")),
        ("aa", Absent()),
        ("ax", Absent()),
        ("b", Unknown()),
        ("bb", Unknown()),
        ("d", Found(b"morning")),
        ("e", Absent()),
        ("a", Error()),
        ("d/x", Absent()),
        ("0", Absent()),
    ],
)
def test_lookups_in_the_pruned_example_say_what_the_specification_says(path: str, result: object) -> None:
    assert hash_tree.lookup(parse(EXAMPLE_PRUNED), path.encode().split(b"/")) == result


# Names close to each other, so that paths hit, miss narrowly and fall between.
LABELS = st.binary(max_size=2, min_size=1).map(lambda label: bytes(byte % 4 for byte in label))
NESTED: st.SearchStrategy[Any] = st.recursive(
    st.binary(max_size=3), lambda inner: st.dictionaries(LABELS, inner, max_size=6), max_leaves=30
).filter(lambda value: isinstance(value, dict))
PATHS = st.lists(LABELS, max_size=4)


def model(nested: Any, path: list[bytes]) -> object:
    """What a lookup in the whole tree has to find."""
    for label in path:
        if not isinstance(nested, dict) or label not in nested:
            return Absent()
        nested = nested[label]
    if isinstance(nested, bytes):
        return Found(nested)
    return Error() if nested else Absent()


@given(NESTED, PATHS)
def test_a_whole_tree_finds_what_nested_dictionaries_find(nested: Any, path: list[bytes]) -> None:
    assert hash_tree.lookup(hash_tree.build(nested), path) == model(nested, path)


@given(NESTED, st.lists(PATHS, max_size=4))
def test_a_witness_has_the_same_hash_and_answers_its_paths(nested: Any, paths: list[list[bytes]]) -> None:
    tree = hash_tree.build(nested)
    witness = hash_tree.prune(tree, paths)
    assert hash_tree.digest(witness) == hash_tree.digest(tree)
    for path in paths:
        assert hash_tree.lookup(witness, path) == model(nested, path)


@given(NESTED, st.lists(PATHS, max_size=4), PATHS)
def test_a_witness_never_says_anything_wrong(nested: Any, paths: list[list[bytes]], path: list[bytes]) -> None:
    witness = hash_tree.prune(hash_tree.build(nested), paths)
    assert hash_tree.lookup(witness, path) in (Unknown(), model(nested, path))


@given(NESTED, st.lists(PATHS, max_size=3), st.lists(PATHS, max_size=3))
def test_a_witness_can_be_pruned_further(nested: Any, paths: list[list[bytes]], more: list[list[bytes]]) -> None:
    tree = hash_tree.build(nested)
    again = hash_tree.prune(hash_tree.prune(tree, paths + more), more)
    assert hash_tree.digest(again) == hash_tree.digest(tree)
    for path in more:
        assert hash_tree.lookup(again, path) == model(nested, path)


@given(NESTED, st.lists(PATHS, max_size=4))
def test_trees_survive_their_encoding(nested: Any, paths: list[list[bytes]]) -> None:
    witness = hash_tree.prune(hash_tree.build(nested), paths)
    assert parse(cbor.dumps(hash_tree.to_cbor_value(witness))) == witness


def test_labels_are_listed_in_order_and_only_as_far_as_revealed() -> None:
    tree = hash_tree.build({b"n": {b"b": b"2", b"a": b"1", b"c": b"3"}})
    assert hash_tree.list_labels(tree, [b"n"]) == [b"a", b"b", b"c"]
    assert hash_tree.list_labels(hash_tree.prune(tree, [[b"n", b"a"]]), [b"n"]) == [b"a"]
    assert hash_tree.list_labels(tree, [b"x"]) == []


def test_a_witness_of_one_among_many_is_small() -> None:
    tree = hash_tree.build({number.to_bytes(4, "big"): b"value" for number in range(4096)})
    witness = hash_tree.prune(tree, [[(1234).to_bytes(4, "big")]])
    assert len(cbor.dumps(hash_tree.to_cbor_value(witness))) < 600


@pytest.mark.parametrize(
    "value",
    [None, [], [0, 1], [1, [0]], [2, "text", [0]], [2, b"label"], [3, "text"], [4, b"short"], [5, b""], {"a": 1}],
)
def test_what_is_not_a_hash_tree_is_refused(value: object) -> None:
    with pytest.raises(CertificateError):
        hash_tree.from_cbor_value(value)


def test_a_tree_that_is_too_deep_is_refused() -> None:
    value: list[object] = [0]
    for _ in range(200):
        value = [2, b"x", value]
    with pytest.raises(CertificateError, match="deep"):
        hash_tree.from_cbor_value(value)
