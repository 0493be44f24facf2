"""Makes the folder of a simulated node: identity in NVS, flash content, models of its peripherals.

It runs nothing; `host.py` does.
"""

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

PROFILE = "pole-basic"
_CLAIM_ALPHABET = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"  # no 0 O 1 I: people type it
_CLAIM_CHARACTERS = 12
_HEX = "hex:"


@dataclass(frozen=True, slots=True)
class NodeIdentity:
    """What the flashing station gives a node, and the claim code for its label.

    Args:
        mac: EUI-48, 6 bytes.
        bootstrap_secret: OSCORE Master Secret for bootstrap, 16 bytes.
        bootstrap_salt: OSCORE Master Salt for bootstrap, 8 bytes.
        claim_code: on the label; the node does not know it.
        profile: board profile.
    """

    mac: bytes
    bootstrap_secret: bytes = field(repr=False)
    bootstrap_salt: bytes = field(repr=False)
    claim_code: str = field(repr=False)
    profile: str = PROFILE

    @property
    def name(self) -> str:
        """Name of the node's folder: the MAC in hexadecimal."""
        return self.mac.hex()


def new_identity(mac: bytes) -> NodeIdentity:
    """Make an identity with fresh secrets from the operating system."""
    return NodeIdentity(
        mac=mac,
        bootstrap_secret=secrets.token_bytes(16),
        bootstrap_salt=secrets.token_bytes(8),
        claim_code="".join(secrets.choice(_CLAIM_ALPHABET) for _ in range(_CLAIM_CHARACTERS)),
    )


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the peripheral models of a simulated node start from; written to sim.json.

    Args:
        seed: of the models' noise and of the place in the air series.
        latitude_deg: WGS84.
        longitude_deg: WGS84.
        lamp_nominal_w: nominal wattage of the lamp.
        utc_offset_s: local time minus UTC.
    """

    seed: int
    latitude_deg: float
    longitude_deg: float
    lamp_nominal_w: int
    utc_offset_s: int = 0


@dataclass(frozen=True, slots=True)
class Factory:
    """What all nodes of a production run have in common.

    Args:
        gateway_uri: where they bootstrap, e.g. "coap://127.0.0.1:5683".
        release_keys: Ed25519 public keys that may sign releases, 32 bytes each.
        boot_files: files of the flash root, boot.py and main.py.
        bundle_files: node/….mpy and nodelink/….mpy of the first release.
        envelope: signed envelope of the first release.
        air_series: content of air.bin.
    """

    gateway_uri: str
    release_keys: tuple[bytes, ...]
    boot_files: Mapping[str, bytes]
    bundle_files: Mapping[str, bytes]
    envelope: bytes
    air_series: bytes


def make_node_folder(
    parent: Path, identity: NodeIdentity, surroundings: Surroundings, factory: Factory
) -> Path:
    """Make the folder of one node below parent and return it.

    Raises:
        FileExistsError: the node was made before; take another MAC or another parent.
    """
    folder = parent / identity.name
    folder.mkdir(mode=0o700)
    flash = folder / "flash"
    for path, content in factory.boot_files.items():
        _write(flash, path, content)
    for path, content in factory.bundle_files.items():
        _write(flash / "slot_a", path, content)
    _write(flash / "slot_a", "release.cbor", factory.envelope)
    (flash / "slot_b").mkdir()
    (flash / "data").mkdir()
    (folder / "air.bin").write_bytes(factory.air_series)
    (folder / "sim.json").write_text(
        json.dumps(
            {
                "seed": surroundings.seed,
                "latitude_deg": surroundings.latitude_deg,
                "longitude_deg": surroundings.longitude_deg,
                "lamp_nominal_w": surroundings.lamp_nominal_w,
                "air_series": "air.bin",
                "utc_offset_s": surroundings.utc_offset_s,
            }
        ),
        encoding="utf-8",
    )
    # Last: the board host takes a folder with nvs.json for a whole node.
    nvs = folder / "nvs.json"
    nvs.touch(mode=0o600)
    nvs.write_text(json.dumps(_nvs_content(identity, factory)), encoding="utf-8")
    return folder


def _nvs_content(identity: NodeIdentity, factory: Factory) -> dict[str, dict[str, int | str]]:
    return {
        "identity": {
            "mac": _HEX + identity.mac.hex(),
            "bs_secret": _HEX + identity.bootstrap_secret.hex(),
            "bs_salt": _HEX + identity.bootstrap_salt.hex(),
            "profile": _HEX + identity.profile.encode().hex(),
            "gateway": _HEX + factory.gateway_uri.encode().hex(),
            "relkeys": _HEX + b"".join(factory.release_keys).hex(),
        },
        "boot": {"slot": 0, "tries": 0, "confirmed": 1, "count": 0},
    }


def _write(root: Path, path: str, content: bytes) -> None:
    target = root / path
    if not target.resolve().is_relative_to(root.resolve()):
        raise ValueError(f"{path} leads out of the node's flash")
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(content)
