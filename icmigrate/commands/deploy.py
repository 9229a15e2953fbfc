"""`icmigrate deploy`: the hub and its store of modules, created or brought up to date."""

from __future__ import annotations

from typing import TYPE_CHECKING

from icmigrate.commands.command import command
from icmigrate.commands.outcome import Outcome

if TYPE_CHECKING:
    from icmigrate.commands.session import Session
    from icmigrate.console.people import People
    from icmigrate.hub.deploy import DeployReport


@command(state="A hub that exists already is as it was or upgraded; no data is lost.")
async def deploy(session: Session) -> Outcome:
    """Create or upgrade the hub.

    The personal module goes into the hub's Wasm store. Done again, it finds that all is done.
    """
    from icmigrate.hub.deploy import deploy as deploy_hub

    network = await session.network()
    async with session.agent(network) as agent:
        report = await deploy_hub(agent, network, session.ids(network), session.settings.hub, session.progress)
    return Outcome(report.model_dump(mode="json"), lambda people: view(people, report))


def view(people: People, report: DeployReport) -> None:
    people.facts(
        "Hub",
        {
            "canister": report.hub,
            "module": report.module_hash.hex(),
            "personal module": report.personal_module_hash.hex(),
            "done": ", ".join(report.actions) or "nothing to do",
        },
    )
