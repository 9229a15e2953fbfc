"""What the replica has, tests state once more from the specification: nothing is there that they do not try."""

from __future__ import annotations

from icmigrate.replica.management.method_table import METHODS, UNAVAILABLE
from icmigrate.replica.system_api.ic0_imports import FUNCTIONS
from tests.replica.conformance import candid_types
from tests.replica.conformance.test_contexts import ALL_32_BIT

BEYOND_THE_SPECIFICATION = {"mint_cycles128", "cost_http_request_v2", "subnet_self_node_count"}
"""Functions that the IC has and its specification does not; modules of ic-cdk try them."""


def test_every_function_of_the_system_api_is_tried_in_every_mode() -> None:
    assert set(FUNCTIONS) - BEYOND_THE_SPECIFICATION == set(ALL_32_BIT)


def test_every_method_of_the_management_canister_is_tried() -> None:
    assert set(METHODS) == set(candid_types.METHODS) - set(UNAVAILABLE)
