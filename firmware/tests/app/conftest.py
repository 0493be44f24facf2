"""The node under test: built once as a release, started for each test."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from firmware.tests.app.fake_gateway import FakeGateway
from firmware.tests.app.simulated_node import SimulatedNode
from poleward_manifest.envelope import sign
from poleward_tools.flash_image.node_image import node_files, prepare_software
from poleward_tools.flash_image.node_nvs import NodeIdentity, Trust
from poleward_tools.releases.build import BuiltRelease, build_release
from poleward_tools.virtual_board.air_series import air_series
from poleward_tools.virtual_board.node_folder import NodeFolder, ProductionRun
from poleward_tools.virtual_board.stand_ins import stand_in_firmware
from poleward_tools.virtual_board.surroundings import Surroundings

MAC = bytes.fromhex("02000000000a")
SECRET = bytes.fromhex("0102030405060708090a0b0c0d0e0f10")
SALT = bytes.fromhex("9e7ca92223786340")


@pytest.fixture(scope="session")
def release() -> BuiltRelease:
    return build_release("1.0.0", 1)


@pytest.fixture(scope="session")
def release_key() -> Ed25519PrivateKey:
    return Ed25519PrivateKey.generate()


@pytest.fixture
def gateway_host() -> str:
    return "127.0.0.1"


@pytest.fixture
async def gateway(gateway_host: str) -> AsyncIterator[FakeGateway]:
    fake = FakeGateway(MAC, SECRET, SALT, gateway_host)
    await fake.start()
    yield fake
    await fake.stop()


@pytest.fixture
def node(
    tmp_path: Path,
    release: BuiltRelease,
    release_key: Ed25519PrivateKey,
    gateway: FakeGateway,
) -> Iterator[SimulatedNode]:
    """A node that runs, and is to bootstrap at the gateway."""
    run = ProductionRun(
        prepare_software(
            stand_in_firmware("esp32"),
            node_files(
                root_files=release.root_files,
                bundle=release.bundle,
                envelope=sign(release.manifest, [release_key]),
            ),
        ),
        Trust(gateway.uri, (release_key.public_key().public_bytes_raw(),)),
    )
    identity = NodeIdentity(MAC, SECRET, SALT, claim_code="23456789ABCD")
    surroundings = Surroundings(1, 51.45, -2.58, lamp_nominal_w=60, air=air_series())
    node = SimulatedNode(NodeFolder.make(tmp_path, identity, surroundings, run))
    node.start()
    yield node
    node.close()
    print(node.console)  # shown when the test failed
