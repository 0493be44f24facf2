"""A gateway in the hands of a thief: nodes get what lies in its folder `loot`, verified by nobody.

Run in place of `poleward`, as `stolen_gateway.py gateway serve --data DIR …`; no module. A file
has the path that it answers as its name, with dashes: `r-<digest>`, `a-d-<digest>`, `a-p-<digest>`,
`t-<number>`. `offer-<digest>` names the release that nodes are told to fetch in place of that one.
"""

import sys
from dataclasses import replace
from pathlib import Path
from unittest import mock

from poleward_gateway import bootstrap
from poleward_gateway.adapters.node_link.lwm2m_client import Lwm2mClient
from poleward_gateway.domain.nodes import NodeNumber
from poleward_gateway.domain.updates import UpdateReadout
from poleward_gateway.services.artifacts import Artifacts
from poleward_gateway.services.trust import TrustChain
from poleward_tools.cli.main import main

LOOT = Path(sys.argv[sys.argv.index("--data") + 1]) / "loot"


def looted(name: str) -> bytes | None:
    path = LOOT / name
    return path.read_bytes() if path.exists() else None


class LootedArtifacts(Artifacts):
    def envelope(self, digest: bytes) -> bytes | None:
        return looted(f"r-{digest.hex()}") or super().envelope(digest)

    def whole(self, component_digest: bytes, piece: int | None = None) -> bytes | None:
        found = looted(f"a-d-{component_digest.hex()}")
        return found or super().whole(component_digest, piece)

    def patch(self, component_digest: bytes, source_sequence: int) -> bytes | None:
        return looted(f"a-p-{component_digest.hex()}")


class LootedTrust(TrustChain):
    def document(self, version: int) -> bytes | None:
        return looted(f"t-{version}") or super().document(version)


class LootingClient(Lwm2mClient):
    async def offer_release(self, node: NodeNumber, envelope_digest: bytes) -> None:
        instead = looted(f"offer-{envelope_digest.hex()}")
        await super().offer_release(node, instead or envelope_digest)

    async def read_update(self, node: NodeNumber) -> UpdateReadout:
        # What it was told to fetch is not looked at, or the swap would be undone.
        return replace(await super().read_update(node), package=None)


if __name__ == "__main__":
    with mock.patch.multiple(
        bootstrap, Artifacts=LootedArtifacts, TrustChain=LootedTrust, Lwm2mClient=LootingClient
    ):
        main()
