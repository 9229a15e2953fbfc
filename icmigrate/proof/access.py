"""Compares the effective permission of every person on every resource in hub and personal canister.

Both canisters work out their matrix by the rules that decide real requests, at the same moment, and answer
by certified calls. The comparison itself is pure.
"""

from __future__ import annotations

import json

from icmigrate.contract.access import MatrixRow
from icmigrate.contract.client import CapsuleClient, all_pages
from icmigrate.contract.record import Record

Cell = tuple[str, str]
"""A person and a resource, as canonical JSON."""


class MatrixDifference(Record):
    """One cell in which two access matrices differ; a mask of 0 is no permission at all."""

    person: str
    resource: str
    hub: int
    personal: int

    def __str__(self) -> str:
        return (
            f"access of {self.person} to {self.resource}: {self.hub} in the hub, "
            f"{self.personal} in the personal canister"
        )


async def read_matrix(canister: CapsuleClient, capsule_id: str, at: int) -> dict[Cell, int]:
    """The whole access matrix of a capsule at the time `at` (nanoseconds)."""
    rows = all_pages(lambda cursor: canister.access_matrix(capsule_id, at, cursor))
    return {cell(row): row.permissions async for row in rows if row.permissions}


def cell(row: MatrixRow) -> Cell:
    person = "everybody" if row.person is None else json.dumps(row.person.model_dump())
    return person, json.dumps(row.resource.model_dump())


def compare_matrices(hub: dict[Cell, int], personal: dict[Cell, int]) -> list[MatrixDifference]:
    """Every cell that differs, in order."""
    return [
        MatrixDifference(
            person=person,
            resource=resource,
            hub=hub.get((person, resource), 0),
            personal=personal.get((person, resource), 0),
        )
        for person, resource in sorted(hub.keys() | personal.keys())
        if hub.get((person, resource), 0) != personal.get((person, resource), 0)
    ]
