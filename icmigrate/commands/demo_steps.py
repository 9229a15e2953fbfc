"""The steps of `icmigrate demo`: replica, hub, a capsule full of files shared with people, its migration."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path

from icmigrate.capsule.assets import AssetUrl, asset_urls
from icmigrate.capsule.ingest import ingest
from icmigrate.capsule.samples import make_samples, share
from icmigrate.commands.session import Session
from icmigrate.contract.canister_errors import CapsuleMoved
from icmigrate.contract.records import InHub, PrincipalPerson
from icmigrate.hub.client import HubClient
from icmigrate.hub.deploy import deploy
from icmigrate.migration.migrate import migrate
from icmigrate.migration.report import MigrationReport
from icmigrate.protocol.identity import Identity
from icmigrate.settings.identity_choice import load_or_create

FOLDER = "demo"


async def demonstrate(session: Session, source: Path | None) -> tuple[MigrationReport, list[AssetUrl]]:
    """Runs the demo on the session's network, and gives URLs of what was moved.

    An interrupted one goes on; a finished one is followed by a new one.
    """
    network = await session.network()
    if source is None:
        source = session.state_dir / FOLDER / "Sample memories"
        await asyncio.to_thread(make_samples, source)
    async with session.agent(network) as agent:
        hub_id = (await deploy(agent, network, session.ids(network), session.settings.hub, session.progress)).hub
        owner, capsule_id = await _new_capsule(session, HubClient(agent, hub_id))
    async with session.toolkit(owner) as toolkit:
        if isinstance(await toolkit.hub.registry_home(capsule_id), InHub):  # an interrupted demo may have frozen it
            await ingest(toolkit.hub, capsule_id, source, session.progress, window=session.settings.window)
            session.progress.phase("share")
            await share(toolkit.hub, capsule_id)
        report = await migrate(toolkit, capsule_id)
        return report, await asset_urls(toolkit.network, toolkit.personal(report.canister_id), capsule_id)


async def _new_capsule(session: Session, hub: HubClient) -> tuple[Identity, str]:
    """A capsule that has not moved, and its owner: made for the demo, with the key in the state folder.

    Whoever deployed the hub makes the capsule and invites its owner to migrate it, as operators do.
    """
    number = 0
    while True:
        number += 1
        owner = load_or_create(session.state_dir / FOLDER / f"owner-{number}.pem")
        with suppress(CapsuleMoved):
            capsule = await hub.capsules_create(PrincipalPerson(principal=owner.sender().to_str()))
            await hub.migration_invite(capsule.id)
            return owner, capsule.id
