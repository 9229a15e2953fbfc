"""Interface Specification, "The system state tree": witnesses and who may read which path."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from icmigrate.protocol import hash_tree
from icmigrate.protocol.hash_tree import Absent, Found, FoundTree, Unknown
from icmigrate.protocol.principal import ANONYMOUS, Principal
from icmigrate.replica.certification.read_permissions import PathRefused, authorize
from icmigrate.replica.certification.state_tree import SystemTree
from icmigrate.replica.certification.witness import Node, Path, children, witness
from icmigrate.replica.state.calls import IngressState, IngressStatus
from icmigrate.replica.state.canister import Canister
from icmigrate.replica.state.canister_ids import FIRST_CANISTER, LAST_CANISTER, in_canister_ranges
from icmigrate.replica.state.code import CustomSection, InstalledModule
from icmigrate.replica.state.responses import Reject, RejectCode
from icmigrate.replica.state.settings import Settings
from icmigrate.replica.state.subnet_state import SubnetState

OWNER = Principal(b"\x01\x02")
CANISTER = Principal((7).to_bytes(8, "big") + b"\x01\x01")
OTHER = Principal((8).to_bytes(8, "big") + b"\x01\x01")
REQUEST, FOREIGN, UNKNOWN = bytes(32), bytes([1]) * 32, bytes([2]) * 32
SUBNET = Principal(b"subnet")


def a_state() -> SubnetState:
    module = InstalledModule(
        hash=b"h" * 32,
        size=10,
        exports=frozenset(),
        sections=(CustomSection("open", True, b"public"), CustomSection("secret", False, b"private")),
    )
    settings = Settings(controllers=(OWNER,))
    state = SubnetState()
    state.canisters[CANISTER] = Canister(CANISTER, settings, created_at=5, module=module, installed_at=6)
    state.canisters[OTHER] = Canister(OTHER, settings, created_at=5)
    reject = Reject(RejectCode.CANISTER_ERROR, "it trapped", "IC0503")
    state.ingress[REQUEST] = IngressStatus(IngressState.REJECTED, OWNER, CANISTER, 10, reject, canister_id=CANISTER)
    state.ingress[FOREIGN] = IngressStatus(IngressState.PROCESSING, Principal(b"\x09"), CANISTER, 10)
    return state


def a_tree() -> SystemTree:
    return SystemTree(a_state(), SUBNET, b"root key", Principal(b"node"), b"node key")


def test_a_rejected_request_shows_all_its_leaves() -> None:
    tree = witness(a_tree().root(77), [[b"time"], [b"request_status", REQUEST]])
    leaves = {
        label: hash_tree.lookup(tree, [b"request_status", REQUEST, label])
        for label in (b"status", b"reject_code", b"reject_message", b"error_code")
    }
    assert leaves == {
        b"status": Found(b"rejected"),
        b"reject_code": Found(b"\x05"),
        b"reject_message": Found(b"it trapped"),
        b"error_code": Found(b"IC0503"),
    }
    assert hash_tree.lookup(tree, [b"request_status", REQUEST, b"reply"]) == Absent()
    assert hash_tree.lookup(tree, [b"time"]) == Found(b"\x4d")


def test_what_was_not_asked_for_is_neither_present_nor_absent() -> None:
    tree = witness(a_tree().root(77), [[b"canister", CANISTER.bytes, b"module_hash"]])
    assert hash_tree.lookup(tree, [b"canister", CANISTER.bytes, b"module_hash"]) == Found(b"h" * 32)
    for path in (
        [b"canister", CANISTER.bytes, b"controllers"],
        [b"canister", CANISTER.bytes, b"metadata", b"secret"],
        [b"canister", OTHER.bytes, b"module_hash"],
        [b"request_status", REQUEST],
        [b"time"],
    ):
        assert hash_tree.lookup_subtree(tree, path) == Unknown()


@pytest.mark.parametrize(
    "path",
    [
        [b"request_status", UNKNOWN],
        [b"request_status", UNKNOWN, b"status"],
        [b"canister", OTHER.bytes, b"module_hash"],
        [b"canister", Principal(b"\x05").bytes, b"controllers"],
        [b"api_boundary_nodes", b"node"],
        [b"nonsense"],
    ],
)
def test_absence_of_what_was_asked_for_is_proven(path: list[bytes]) -> None:
    tree = witness(a_tree().root(77), [path])
    assert hash_tree.lookup_subtree(tree, path) == Absent()


def test_the_subnet_is_revealed_as_a_whole() -> None:
    tree = witness(a_tree().root(77), [[b"subnet"]])
    assert hash_tree.list_labels(tree, [b"subnet"]) == [SUBNET.bytes]
    key = [b"subnet", SUBNET.bytes, b"node", b"node", b"public_key"]
    assert hash_tree.lookup(tree, key) == Found(b"node key")
    assert hash_tree.lookup(tree, [b"subnet", SUBNET.bytes, b"metrics"]) == Absent()


Nested = dict[bytes, "bytes | Nested"]
LABELS = st.sampled_from([b"", b"a", b"b", b"c", b"d", b"e"])
TREES = st.recursive(
    st.dictionaries(LABELS, st.binary(max_size=3), max_size=5),
    lambda inner: st.dictionaries(LABELS, inner | st.binary(max_size=3), max_size=5),
    max_leaves=12,
)
PATHS = st.lists(st.lists(LABELS, min_size=1, max_size=4), max_size=4)


def as_level(nested: Nested) -> Node:
    return children({label: value if isinstance(value, bytes) else as_level(value) for label, value in nested.items()})


@given(TREES, PATHS)
def test_a_witness_answers_as_the_whole_tree_does(nested: Nested, paths: list[Path]) -> None:
    level = as_level(nested)
    assert not isinstance(level, bytes) and not callable(level)
    tree, whole = witness(level, paths), hash_tree.build(nested)
    for path in paths:
        found, expected = hash_tree.lookup_subtree(tree, path), hash_tree.lookup_subtree(whole, path)
        assert type(found) is type(expected)
        if isinstance(found, FoundTree) and isinstance(expected, FoundTree):
            assert hash_tree.digest(found.tree) == hash_tree.digest(expected.tree)


# fmt: off
AUTHORIZATION: list[tuple[list[Path], Principal, bool, int | None]] = [
    # paths, sender, on the subnet endpoint?, HTTP status of the refusal
    ([[b"time"]], ANONYMOUS, False, None),
    ([[b"subnet"]], ANONYMOUS, False, None),
    ([[b"subnet", SUBNET.bytes, b"canister_ranges"]], ANONYMOUS, False, None),
    ([[b"subnet", SUBNET.bytes, b"metrics"]], ANONYMOUS, False, 404),
    ([[b"subnet", SUBNET.bytes, b"metrics"]], ANONYMOUS, True, None),
    ([[b"canister_ranges", SUBNET.bytes]], ANONYMOUS, False, 404),
    ([[b"canister_ranges", SUBNET.bytes]], ANONYMOUS, True, None),
    ([[b"canister_ranges", SUBNET.bytes], [b"canister_ranges", b"x"]], ANONYMOUS, True, 400),
    ([[b"api_boundary_nodes", b"x", b"domain"]], ANONYMOUS, False, None),
    ([[b"api_boundary_nodes", b"x", b"secret"]], ANONYMOUS, False, 404),
    ([[b"canister", CANISTER.bytes, b"module_hash"]], ANONYMOUS, False, None),
    ([[b"canister", CANISTER.bytes, b"controllers"]], ANONYMOUS, False, None),
    ([[b"canister", CANISTER.bytes, b"canister_creation_timestamp"]], ANONYMOUS, False, None),
    ([[b"canister", CANISTER.bytes, b"certified_data"]], OWNER, False, 404),
    ([[b"canister", CANISTER.bytes]], OWNER, False, 404),
    ([[b"canister"]], OWNER, False, 404),
    ([[b"canister", OTHER.bytes, b"module_hash"]], ANONYMOUS, False, 400),
    ([[b"canister", b"x" * 30, b"module_hash"]], ANONYMOUS, False, 400),
    ([[b"canister", CANISTER.bytes, b"metadata", b"open"]], ANONYMOUS, False, None),
    ([[b"canister", CANISTER.bytes, b"metadata", b"secret"]], ANONYMOUS, False, 403),
    ([[b"canister", CANISTER.bytes, b"metadata", b"secret"]], OWNER, False, None),
    ([[b"canister", CANISTER.bytes, b"metadata", b"none"]], ANONYMOUS, False, None),
    ([[b"canister", CANISTER.bytes, b"metadata", b"\xff"]], ANONYMOUS, False, 400),
    ([[b"canister", CANISTER.bytes, b"metadata"]], OWNER, False, 404),
    ([[b"request_status", REQUEST]], OWNER, False, None),
    ([[b"request_status", REQUEST, b"reply"]], OWNER, False, None),
    ([[b"request_status", REQUEST, b"secret"]], OWNER, False, 404),
    ([[b"request_status", REQUEST]], ANONYMOUS, False, 403),
    ([[b"request_status", FOREIGN]], OWNER, False, 403),
    ([[b"request_status", UNKNOWN]], ANONYMOUS, False, None),
    ([[b"request_status", REQUEST], [b"request_status", UNKNOWN]], OWNER, False, 400),
    ([[b"request_status", b"short"]], OWNER, False, 400),
    ([[b"request_status"]], OWNER, False, 404),
    ([[b"nonsense"]], OWNER, False, 404),
    ([[b"time"] * 128], OWNER, False, 400),
    ([[b"time"]] * 1001, OWNER, False, 400),
]
# fmt: on


@pytest.mark.parametrize(("paths", "sender", "is_subnet", "status"), AUTHORIZATION)
def test_each_path_may_be_read_by_whom_the_specification_says(
    paths: list[Path], sender: Principal, is_subnet: bool, status: int | None
) -> None:
    effective = SUBNET if is_subnet else CANISTER
    try:
        authorize(
            paths,
            state=a_state(),
            sender=sender,
            effective=effective,
            is_subnet_request=is_subnet,
            root_subnet=SUBNET,
        )
    except PathRefused as refused:
        assert refused.status == status
    else:
        assert status is None


def test_a_request_of_another_effective_canister_or_outside_the_delegation_is_not_shown() -> None:
    for effective, targets in ((OTHER, None), (CANISTER, frozenset({OTHER.bytes}))):
        with pytest.raises(PathRefused) as refused:
            authorize(
                [[b"request_status", REQUEST]],
                state=a_state(),
                sender=OWNER,
                effective=effective,
                is_subnet_request=False,
                root_subnet=SUBNET,
                targets=targets,
            )
        assert refused.value.status == 403


def test_the_ranges_hold_every_canister_id_and_no_user() -> None:
    assert in_canister_ranges(FIRST_CANISTER) and in_canister_ranges(LAST_CANISTER)
    for well_known in ("rkp4c-7iaaa-aaaaa-aaaca-cai", "um5iw-rqaaa-aaaaq-qaaba-cai", "rwlgt-iiaaa-aaaaa-aaaaa-cai"):
        assert in_canister_ranges(Principal.from_str(well_known))
    assert not in_canister_ranges(Principal(b""))
    assert not in_canister_ranges(Principal(b"\xff" * 29))
    assert not in_canister_ranges(Principal(b"\x01" * 29))
