"""The hub's policy: who may make it pay for what, and how much one capsule may have."""

from __future__ import annotations

from enum import StrEnum

from icmigrate.contract.record import Record


class MayCreate(StrEnum):
    """Who may make a capsule of their own. Operators may, and make capsules for others."""

    ANYBODY = "Anybody"
    OPERATORS = "Operators"


class MayMigrate(StrEnum):
    """Who may start a migration. With `OPERATORS` so may owners whose capsule an operator has invited."""

    OPERATORS = "Operators"
    OWNERS = "Owners"


class Quotas(Record):
    """The most that one capsule may have; `blob_bytes` counts an upload whole from when it is begun."""

    records: int
    record_bytes: int
    blob_bytes: int
    open_uploads: int
    open_upload_bytes: int


class Policy(Record):
    """`migrations_a_day` is of an owner, and of a capsule by its owners; `migrations_at_once` is of the hub."""

    create: MayCreate
    migrate: MayMigrate
    migrations_a_day: int
    migrations_at_once: int
    quotas: Quotas
