"""Plumbing: looks at everything a command depends on and says what is wrong, one check at a time."""

from __future__ import annotations

import hashlib
import sqlite3
import sys
import time
from collections.abc import AsyncIterator

from icmigrate import wasm
from icmigrate.commands.session import Session
from icmigrate.contract.record import Record
from icmigrate.errors import IcmigrateError
from icmigrate.hub.client import HubClient
from icmigrate.hub.deploy import HUB
from icmigrate.networks import embedded
from icmigrate.networks.network import EMBEDDED, Network
from icmigrate.networks.resolve import resolve
from icmigrate.protocol.agent import Agent
from icmigrate.protocol.identity import Identity
from icmigrate.protocol.principal import Principal
from icmigrate.settings.config import Settings

CLOCK_SECONDS = 60
"""How far this machine's clock may be from the network's: requests expire after five minutes."""


class Check(Record):
    """One thing looked at; `advice` says what to do when it is not well."""

    name: str
    well: bool
    found: str
    advice: str = ""


async def examine(session: Session) -> AsyncIterator[Check]:
    """All checks, in the order in which things depend on each other. Starts nothing; may make the development key."""
    yield _python()
    yield _modules()
    yield _state_dir(session.settings)
    network = _network(session.settings)
    if isinstance(network, Check):
        yield network
        return
    try:
        identity = session.identity(network)
    except IcmigrateError as error:
        yield Check(name="identity", well=False, found=str(error), advice=error.hint)
        return
    yield Check(name="identity", well=True, found=identity.sender().to_str())
    async for check in _network_checks(session, network, identity):
        yield check


def _python() -> Check:
    version = sys.version.split()[0]
    well = sys.version_info >= (3, 11)
    return Check(name="python", well=well, found=version, advice="" if well else "Use Python 3.11 or newer.")


def _modules() -> Check:
    try:
        digests = [f"{name} {hashlib.sha256(wasm.module(name)).hexdigest()[:12]}" for name in wasm.NAMES]
    except OSError as error:
        return Check(
            name="canister modules",
            well=False,
            found=str(error),
            advice="Install the package again, or run scripts/build-canisters in a checkout.",
        )
    return Check(name="canister modules", well=True, found=", ".join(digests))


def _state_dir(settings: Settings) -> Check:
    database = settings.state_dir / "icmigrate.sqlite"
    found = str(settings.state_dir.absolute())
    try:
        if settings.state_dir.exists() and not settings.state_dir.is_dir():
            raise NotADirectoryError(f"{settings.state_dir} is not a folder")
        if database.exists():
            with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as connection:
                connection.execute("select count(*) from sqlite_master")
    except (OSError, sqlite3.Error) as error:
        return Check(
            name="state folder", well=False, found=f"{found}: {error}", advice="Name another one with --state."
        )
    return Check(name="state folder", well=True, found=found)


def _network(settings: Settings) -> Network | Check:
    try:
        if settings.network != EMBEDDED:
            return resolve(settings.network, settings.root_key_der)
        info = embedded.running(settings.state_dir)
    except IcmigrateError as error:
        return Check(name="network", well=False, found=str(error), advice=error.hint)
    if info is None:
        return Check(
            name="network",
            well=True,
            found="the embedded replica does not run; commands that need it start it",
        )
    return embedded.as_network(info)


async def _network_checks(session: Session, network: Network, identity: Identity) -> AsyncIterator[Check]:
    try:
        async with session.agent(network, identity) as agent:
            started = time.monotonic()
            await agent.status()
            took = (time.monotonic() - started) * 1_000
            yield Check(name="network", well=True, found=f"{network.name} at {network.url}, answers in {took:.0f} ms")
            hub_id = session.settings.hub or session.ids(network).get(HUB)
            if hub_id is None:
                yield Check(name="hub", well=False, found="none is known", advice="Run `icmigrate deploy`.")
                return
            async for check in _hub_checks(agent, hub_id, identity.sender()):
                yield check
    except IcmigrateError as error:
        yield Check(name="network", well=False, found=str(error), advice=error.hint)


async def _hub_checks(agent: Agent, hub_id: str, me: Principal) -> AsyncIterator[Check]:
    principal = Principal.from_str(hub_id)
    drift = abs((await agent.read_state([[b"time"]], principal)).time_ns - time.time_ns()) / 1e9
    well = drift < CLOCK_SECONDS
    advice = "" if well else "Set this machine's clock."
    yield Check(name="clock", well=well, found=f"{drift:.1f} s from the network's", advice=advice)
    installed = await agent.module_hash(principal)
    shipped = hashlib.sha256(wasm.module(HUB)).digest()
    if installed != shipped:
        found = f"{hub_id} runs module {installed.hex()[:12] if installed else 'none'}, not the one shipped here"
        yield Check(name="hub", well=False, found=found, advice="Run `icmigrate deploy`.")
        return
    hub = HubClient(agent, hub_id)
    balance = await hub.cycles()
    yield Check(
        name="hub",
        well=not balance.is_low,
        found=f"{hub_id}, {balance.liquid / 1e12:.3f} T cycles free",
        advice=f"Top up canister {hub_id}." if balance.is_low else "",
    )
    stored = await hub.wasm_info()
    wanted = hashlib.sha256(wasm.module("personal")).digest()
    ready = stored is not None and stored.sha256 == wanted
    yield Check(
        name="personal module",
        well=ready,
        found="in the hub's store" if ready else "the hub's store does not hold the one shipped here",
        advice="" if ready else "Run `icmigrate deploy`.",
    )
    known = me.to_str() in await hub.operators_list() or me in await agent.controllers(principal)
    yield Check(name="rights", well=True, found="operator" if known else "no operator: own capsules only")
