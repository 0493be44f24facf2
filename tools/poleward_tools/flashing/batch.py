"""Batches: what a station made, signed by it and sealed for the fleet, within the factory's permit.

It talks to no fleet; `poleward factory import` does.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from poleward_tools.client.views import ManufacturedNode
from poleward_tools.flashing.errors import BatchError
from poleward_tools.flashing.record import EXPORTED
from poleward_tools.flashing.sealing import SealError, seal, unseal
from poleward_tools.flashing.station import PERMIT, Station

_PERMIT_KIND = "poleward-station-permit-1"
_BATCH_KIND = "poleward-batch-1"


@dataclass(frozen=True, slots=True)
class Permit:
    """What a station may make.

    Attributes:
        station_key: Ed25519 public key that signs its batches.
        name: of the station, for people.
        fleet_key: X25519 public key for which its batches are sealed.
        quota: nodes in all its batches together.
        expires_at_s: Unix time after which its batches are refused.
    """

    station_key: bytes
    fleet_key: bytes
    name: str
    quota: int
    expires_at_s: int


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch that was verified.

    Attributes:
        batch_id: SHA-256 of what is signed, in hexadecimal.
        permit: under which it was made.
        made_before: nodes in earlier batches of the station.
        nodes: in the order they passed.
    """

    batch_id: str
    permit: Permit
    made_before: int
    nodes: tuple[ManufacturedNode, ...]


def issue_permit(permit: Permit, factory_key: Ed25519PrivateKey) -> str:
    """Return a permit as a text for a file, signed."""
    body = {
        "kind": _PERMIT_KIND,
        "station_key": permit.station_key.hex(),
        "fleet_key": permit.fleet_key.hex(),
        "name": permit.name,
        "quota": permit.quota,
        "expires_at_s": permit.expires_at_s,
    }
    return _signed(body, factory_key)


def check_permit(station: Station, now_s: float) -> None:
    """Refuse to go on when the station's permit is used up or over; without one nothing is said.

    Raises:
        BatchError: get a new permit.
    """
    path = station.folder / PERMIT
    if not path.exists():
        return
    permit = _permit_of(_body(path.read_text(encoding="utf-8"), _PERMIT_KIND)[0])
    made = len(station.record.all_passed())
    if now_s > permit.expires_at_s:
        raise BatchError(f"the permit of station {permit.name} is over; get a new one")
    if made >= permit.quota:
        raise BatchError(f"station {permit.name} made all {permit.quota} nodes of its permit")


def export_batch(station: Station, now_s: float) -> tuple[str, list[str]]:
    """Sign every node that passed and is in no batch yet; the record keeps which those are.

    Returns:
        The batch as text, empty without a new node, and the addresses in it.

    Raises:
        BatchError: no permit, or it does not cover the nodes.
    """
    path = station.folder / PERMIT
    if not path.exists():
        raise BatchError(f"{path} is missing; have `poleward factory permit` make it")
    permit_text = path.read_text(encoding="utf-8")
    permit = _permit_of(_body(permit_text, _PERMIT_KIND)[0])
    if permit.station_key != station.key().public_key().public_bytes_raw():
        raise BatchError(f"the permit {path} is for another station's key")
    exported = station.record.exported()
    macs = [mac for mac in station.record.all_passed() if mac not in exported]
    if not macs:
        return "", []
    if len(exported) + len(macs) > permit.quota:
        raise BatchError(
            f"{len(exported)} nodes are exported and {len(macs)} are new; "
            f"the permit is for {permit.quota}"
        )
    if now_s > permit.expires_at_s:
        raise BatchError(f"the permit of station {permit.name} is over; get a new one")
    nodes = []
    passed = station.record.all_passed()
    for mac in macs:
        identity = station.identity(bytes.fromhex(mac))
        if identity is None:
            raise BatchError(f"{mac} passed but its identity file is gone; flash it again")
        nodes.append(
            {
                "mac": mac,
                "bootstrap_secret": identity.bootstrap_secret.hex(),
                "bootstrap_salt": identity.bootstrap_salt.hex(),
                "claim_code_hash": passed[mac]["claim_code_hash"],
                "board_profile": identity.profile,
            }
        )
    body = {
        "kind": _BATCH_KIND,
        "permit": permit_text,
        "made_at_s": int(now_s),
        "made_before": len(exported),
        "sealed_nodes": seal(json.dumps(nodes).encode(), permit.fleet_key).hex(),
    }
    return _signed(body, station.key()), macs


def note_export(station: Station, text: str, macs: Sequence[str]) -> None:
    """Record that a batch is safely in its file; before, its nodes belong to no batch."""
    station.record.append(EXPORTED, batch=_body(text, _BATCH_KIND)[1], macs=list(macs))


def open_batch(
    text: str,
    factory_key: bytes,
    fleet_key: X25519PrivateKey,
    *,
    now_s: float,
) -> Batch:
    """Verify a batch and its permit, and open it.

    Args:
        text: content of the batch's file.
        factory_key: Ed25519 public key that signs permits.
        fleet_key: for which the permit had the batch sealed.
        now_s: Unix time.

    Raises:
        BatchError: damaged, not signed by whom it should be, sealed for another fleet, over, or
            by its own account more than the permit allows.
    """
    body, digest = _body(text, _BATCH_KIND)
    try:
        permit_text = body["permit"]
        permit = _permit_of(_body(permit_text, _PERMIT_KIND)[0])
        _verify(permit_text, factory_key, "the permit in the batch is not of this factory's key")
        _verify(text, permit.station_key, f"the batch is not signed by station {permit.name}")
        made_before = int(body["made_before"])
        content = unseal(bytes.fromhex(body["sealed_nodes"]), fleet_key)
        nodes = tuple(_node(entry) for entry in json.loads(content))
    except SealError as error:
        raise BatchError(f"the batch cannot be opened: {error}; take this fleet's key") from error
    except (KeyError, TypeError, ValueError) as error:
        raise BatchError(f"the batch is damaged: {error!r}") from error
    if now_s > permit.expires_at_s:
        raise BatchError(f"the permit of station {permit.name} is over; its batches are refused")
    # A station may say less than is true; the fleet counts, too.
    made = made_before + len(nodes)
    if made_before < 0 or made > permit.quota:
        raise BatchError(
            f"station {permit.name} made {made} nodes; its permit is for {permit.quota}"
        )
    return Batch(digest, permit, made_before, nodes)


def _signed(body: Mapping[str, Any], key: Ed25519PrivateKey) -> str:
    text = json.dumps(body, separators=(",", ":"), sort_keys=True)
    signature = key.sign(text.encode()).hex()
    return json.dumps({"signed": text, "signature": signature}) + "\n"


def _body(text: str, kind: str) -> tuple[dict[str, Any], str]:
    """Take the signed part out of a file, unverified, with its digest."""
    try:
        signed = json.loads(text)["signed"]
        body = json.loads(signed)
        if body["kind"] != kind:
            raise BatchError(f"the file is a {body['kind']}, not a {kind}")
    except (ValueError, KeyError, TypeError) as error:
        raise BatchError(f"the file is no {kind}, or it is damaged") from error
    return body, sha256(signed.encode()).hexdigest()


def _verify(text: str, public_key: bytes, message: str) -> None:
    outer = json.loads(text)
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(
            bytes.fromhex(outer["signature"]), outer["signed"].encode()
        )
    except InvalidSignature as error:
        raise BatchError(message) from error


def _permit_of(body: Mapping[str, Any]) -> Permit:
    try:
        return Permit(
            bytes.fromhex(body["station_key"]), bytes.fromhex(body["fleet_key"]),
            str(body["name"]), int(body["quota"]), int(body["expires_at_s"]),
        )  # fmt: skip
    except (KeyError, TypeError, ValueError) as error:
        raise BatchError(f"the permit is damaged: {error!r}") from error


def _node(entry: Mapping[str, Any]) -> ManufacturedNode:
    return ManufacturedNode(
        mac=bytes.fromhex(entry["mac"]),
        bootstrap_secret=bytes.fromhex(entry["bootstrap_secret"]),
        bootstrap_salt=bytes.fromhex(entry["bootstrap_salt"]),
        claim_code_hash=str(entry["claim_code_hash"]),
        board_profile=str(entry["board_profile"]),
    )
