"""Finds the capsule that a command line means, its personal canister, and what its home says about it."""

from __future__ import annotations

from icmigrate.contract import records
from icmigrate.contract.canister_errors import NotFound
from icmigrate.contract.client import all_pages
from icmigrate.contract.migrations import Migration
from icmigrate.contract.record import Record
from icmigrate.errors import CallRejected, CertificateError, NotAuthorized, PreflightRefused, Usage
from icmigrate.hub.client import HubClient
from icmigrate.personal.client import PersonalClient
from icmigrate.protocol.principal import Principal

LIST_HINT = "`icmigrate capsules` lists what the hub holds."


class CapsuleDetail(Record):
    """A capsule as its home describes it."""

    capsule_id: str
    home: records.Home
    canister_id: str
    capsule: records.Capsule
    summary: records.CapsuleSummary
    migration: Migration | None


async def find_capsule(hub: HubClient, given: str | None) -> str:
    """The id of the capsule that is meant: by its id, by the principal of its subject, or the only one there is.

    What is not named by its id is read certified: one lying node must not turn a command against another capsule.
    """
    if given is None:
        return await _only_capsule(hub)
    try:
        await hub.registry_home(given)
        return given
    except NotFound:
        if not _is_principal(given):
            raise Usage(f"the hub has no capsule {given}", hint=LIST_HINT) from None
    async for capsule in all_pages(hub.capsules_list):
        if capsule.subject == records.PrincipalPerson(principal=given):
            return await _certainly_of(hub, capsule.id, given)
    raise Usage(f"the hub has no capsule of {given}", hint=LIST_HINT)


async def own_capsule(hub: HubClient) -> records.Capsule:
    """The capsule of who asks, made where there is none and the hub's policy allows it.

    Raises `NotAuthorized` with what to ask an operator for where it does not.
    """
    try:
        return await hub.capsules_create()
    except (NotAuthorized, CallRejected) as error:
        if error.exit_code != NotAuthorized.exit_code:
            raise
        principal = hub.agent.identity.sender().to_str()
        raise NotAuthorized(
            f"hub {hub.canister_id} holds no capsule of {principal}, and its operators alone make capsules",
            hint=f"Ask one of them to call capsules_create of canister {hub.canister_id} "
            f"with '(opt variant {{ Principal = principal \"{principal}\" }})'.",
        ) from None


async def _certainly_of(hub: HubClient, capsule_id: str, principal: str) -> str:
    certified = await hub.capsules_get(capsule_id, certified=True)
    if certified.subject != records.PrincipalPerson(principal=principal):
        raise CertificateError(f"a node said that capsule {capsule_id} is of {principal}, which is not so")
    return capsule_id


async def _only_capsule(hub: HubClient) -> str:
    found: list[records.CapsuleSummary] = (await hub.capsules_list(limit=2, certified=True)).items
    if len(found) == 1:
        return found[0].id
    reason = "holds more than one capsule" if found else "holds no capsule"
    hint = f"Name one: {LIST_HINT}" if found else "`icmigrate ingest DIR` makes one."
    raise Usage(f"the hub {reason}", hint=hint)


def _is_principal(text: str) -> bool:
    try:
        Principal.from_str(text)
    except ValueError:
        return False
    return True


def principal_option(option: str, text: str) -> str:
    """The principal given to an option. Raises `Usage` when it is none."""
    if not _is_principal(text):
        raise Usage(f"{option}: {text!r} is not a principal")
    return text


async def personal_canister_id(hub: HubClient, capsule_id: str) -> str:
    """The personal canister of a capsule. Raises `PreflightRefused` when no migration has created one yet."""
    migration = await hub.migration_get(capsule_id, certified=True)
    if migration is None or migration.canister_id is None:
        raise PreflightRefused(
            f"capsule {capsule_id} has no personal canister", hint=f"Run `icmigrate migrate {capsule_id}` first."
        )
    return migration.canister_id


async def read_capsule(hub: HubClient, capsule_id: str) -> CapsuleDetail:
    """Asks the capsule's home about it."""
    home = await hub.registry_home(capsule_id)
    client = PersonalClient(hub.agent, home.canister_id) if isinstance(home, records.MovedTo) else hub
    return CapsuleDetail(
        capsule_id=capsule_id,
        home=home,
        canister_id=client.canister_id,
        capsule=await client.capsules_get(capsule_id),
        summary=await client.capsules_summary(capsule_id),
        migration=await hub.migration_get(capsule_id),
    )
