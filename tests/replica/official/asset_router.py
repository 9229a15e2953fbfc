"""Files in a canister of ic-asset-certification, which answers those above 2 MB in certified parts with status 206."""

from __future__ import annotations

from dataclasses import dataclass

from icmigrate.protocol import candid
from icmigrate.protocol.candid import Types as T
from icmigrate.protocol.principal import Principal
from tests.replica.http.client import Client
from tests.replica.official.conftest import Daemon, foreign_module

PIECE = 1_900_000


@dataclass(frozen=True)
class AssetRouter:
    """The canister of canisters/asset_router."""

    replica: Daemon
    id: Principal

    @staticmethod
    def install(replica: Daemon) -> AssetRouter:
        return AssetRouter(replica, replica.install(foreign_module("asset_router")))

    @property
    def url(self) -> str:
        return f"http://{self.id.to_str()}.localhost:{self.replica.info.port}"

    def publish(self, files: dict[str, tuple[str, bytes]]) -> None:
        """Serves these files: path, media type and content."""

        async def upload(client: Client) -> None:
            for path, (media_type, content) in files.items():
                for at in range(0, len(content), PIECE):
                    arg = candid.encode([T.Text, T.Vec(T.Nat8)], [path, content[at : at + PIECE]])
                    await client.update(self.id, "append", arg)
                await client.update(self.id, "publish", candid.encode([T.Text, T.Text], [path, media_type]))

        self.replica.run(upload)
