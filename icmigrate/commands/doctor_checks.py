"""The checks of `icmigrate doctor`: everything that a command depends on, looked at in order."""

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


def _check(name: str, well: bool, found: str, advice: str) -> Check:
    return Check(name=name, well=well, found=found, advice="" if well else advice)


def _failed(name: str, error: IcmigrateError) -> Check:
    return Check(name=name, well=False, found=str(error), advice=error.hint)


async def examine(session: Session) -> AsyncIterator[Check]:
    """All checks, in the order in which things depend on each other. Starts nothing; may make the development key."""
    yield _check("python", sys.version_info >= (3, 11), sys.version.split()[0], "Use Python 3.11 or newer.")
    yield _modules()
    yield _state_dir(session.settings)
    try:
        network = _network(session.settings)
    except IcmigrateError as error:
        yield _failed("network", error)
        return
    if network is None:
        found = "the embedded replica does not run; commands that need it start it"
        yield Check(name="network", well=True, found=found)
        return
    try:
        identity = session.identity(network)
    except IcmigrateError as error:
        yield _failed("identity", error)
        return
    yield Check(name="identity", well=True, found=identity.sender().to_str())
    try:
        async with session.agent(network, identity) as agent:
            async for check in _network_checks(session, network, agent):
                yield check
    except IcmigrateError as error:
        yield _failed("network", error)


def _modules() -> Check:
    advice = "Install the package again, or run scripts/build-canisters in a checkout."
    try:
        digests = [f"{name} {hashlib.sha256(wasm.module(name)).hexdigest()[:12]}" for name in wasm.NAMES]
    except OSError as error:
        return _check("canister modules", False, str(error), advice)
    return _check("canister modules", True, ", ".join(digests), advice)


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


def _network(settings: Settings) -> Network | None:
    """The network; `None` is the embedded replica when it does not run."""
    if settings.network != EMBEDDED:
        network = resolve(settings.network, settings.root_key_der)
        settings.require_own_choice(network)
        return network
    info = embedded.running(settings.state_dir)
    return embedded.as_network(info) if info else None


async def _network_checks(session: Session, network: Network, agent: Agent) -> AsyncIterator[Check]:
    started = time.monotonic()
    await agent.status()
    took = (time.monotonic() - started) * 1_000
    yield Check(name="network", well=True, found=f"{network.name} at {network.url}, answers in {took:.0f} ms")
    hub_id = session.settings.hub or session.ids(network).get(HUB)
    if hub_id is None:
        yield Check(name="hub", well=False, found="none is known", advice="Run `icmigrate deploy`.")
        return
    async for check in _hub_checks(agent, hub_id):
        yield check


async def _hub_checks(agent: Agent, hub_id: str) -> AsyncIterator[Check]:
    principal = Principal.from_str(hub_id)
    drift = abs((await agent.read_state([[b"time"]], principal)).time_ns - time.time_ns()) / 1e9
    yield _check("clock", drift < CLOCK_SECONDS, f"{drift:.1f} s from the network's", "Set this machine's clock.")
    installed = await agent.module_hash(principal)
    if installed != hashlib.sha256(wasm.module(HUB)).digest():
        found = f"{hub_id} runs module {installed.hex()[:12] if installed else 'none'}, not the one shipped here"
        yield Check(name="hub", well=False, found=found, advice="Run `icmigrate deploy`.")
        return
    hub = HubClient(agent, hub_id)
    balance = await hub.cycles()
    found = f"{hub_id}, {balance.liquid / 1e12:.3f} T cycles free"
    yield _check("hub", not balance.is_low, found, f"Top up canister {hub_id}.")
    stored = await hub.wasm_info()
    ready = stored is not None and stored.sha256 == hashlib.sha256(wasm.module("personal")).digest()
    found = "in the hub's store" if ready else "the hub's store does not hold the one shipped here"
    yield _check("personal module", ready, found, "Run `icmigrate deploy`.")
    me = agent.identity.sender()
    known = me.to_str() in await hub.operators_list() or me in await agent.controllers(principal)
    yield Check(name="rights", well=True, found="operator" if known else "no operator: own capsules only")
