"""Keys and identities of nodes and gateways as values.

Not how they are stored or encrypted. Secrets never show in a repr.
"""

import re
from dataclasses import dataclass, field
from enum import Enum

from poleward_fleet.domain.errors import ConflictError, InvalidError
from poleward_fleet.domain.inventory import LifeState
from poleward_fleet.domain.rollout_policy import Opening

_MAC = re.compile(r"[0-9a-f]{12}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_GATEWAY_NAME = re.compile(r"[a-z0-9][a-z0-9.-]{0,62}")
GATEWAY_SENDER_ID = b"\x00"


@dataclass(frozen=True, slots=True)
class ManufacturedNode:
    """What the flashing station knows of a node."""

    mac: str
    bootstrap_secret: bytes = field(repr=False)
    bootstrap_salt: bytes = field(repr=False)
    claim_code_hash: str = field(repr=False)
    board_profile: str = "pole-basic"

    def validate(self) -> None:
        """Insist on the formats.

        Raises:
            InvalidError: Names the node and the field.
        """
        if not _MAC.fullmatch(self.mac):
            raise InvalidError(f"'{self.mac}' is not a MAC in 12 lower-case hex digits")
        if len(self.bootstrap_secret) != 16:
            raise InvalidError(f"node {self.mac}: the bootstrap secret must have 16 bytes")
        if len(self.bootstrap_salt) != 8:
            raise InvalidError(f"node {self.mac}: the bootstrap salt must have 8 bytes")
        if not _SHA256.fullmatch(self.claim_code_hash):
            raise InvalidError(f"node {self.mac}: the claim code hash must have 64 hex digits")
        if not self.board_profile:
            raise InvalidError(f"node {self.mac}: the board profile is missing")


@dataclass(frozen=True, slots=True)
class StationPermit:
    """What the factory allowed a flashing station.

    Attributes:
        station_key: Ed25519 public key; nodes are counted by it, whatever permit they come under.
        station_name: For people.
        quota: Nodes in all imports of the station together.
        expires_at_ms: Unix time.
    """

    station_key: bytes
    station_name: str
    quota: int
    expires_at_ms: int

    def check(self, now_ms: int) -> None:
        """Insist on the formats and on the time.

        Raises:
            InvalidError: Names the field.
            ConflictError: The permit is over.
        """
        if len(self.station_key) != 32:
            raise InvalidError("the permit's station key must have 32 bytes")
        if not self.station_name:
            raise InvalidError("the permit's station has no name")
        if now_ms > self.expires_at_ms:
            raise ConflictError(
                f"the permit of station {self.station_name} is over; ask the factory for a new one"
            )

    def check_count(self, nodes: int) -> None:
        """Insist on the quota.

        Args:
            nodes: Of the station, those that are to be imported included.

        Raises:
            ConflictError: They are too many.
        """
        if nodes > self.quota:
            raise ConflictError(
                f"station {self.station_name} would have {nodes} nodes in the fleet; its permit "
                f"is for {self.quota}"
            )


@dataclass(frozen=True, slots=True)
class NodeIdentity:
    """A node with what commissioning needs to know of it."""

    number: int
    mac: str
    claim_code_hash: str = field(repr=False)
    life_state: LifeState = LifeState.MANUFACTURED
    life_since_ms: int = 0
    life_reason: str = ""
    board_profile: str = ""
    pole_code: str = ""
    area_code: str = ""  # of the pole
    gateway_name: str = ""


@dataclass(frozen=True, slots=True)
class FreshKeys:
    """Operational keys that nobody has used yet."""

    secret: bytes = field(repr=False)  # 16 bytes
    salt: bytes = field(repr=False)  # 8 bytes


@dataclass(frozen=True, slots=True)
class OscoreKeys:
    """Parameters of one OSCORE security context (RFC 8613, 3.2)."""

    master_secret: bytes = field(repr=False)
    master_salt: bytes = field(repr=False)
    node_id: bytes
    gateway_id: bytes = GATEWAY_SENDER_ID


class NodeTask(Enum):
    """What a gateway owes a node."""

    SERVE = "serve"
    HAND_OVER = "hand_over"  # give it the keys and the address of its next gateway
    WIPE = "wipe"  # have it forget its operational keys, nothing else
    FORGET = "forget"


@dataclass(frozen=True, slots=True)
class DesiredRelease:
    """What a node or a gateway should run.

    Args:
        digest: SHA-256 of the envelope; empty when nothing is wanted.
        directive: The fleet's signed word about it; empty where nobody asks for one.
        install_times: When it may be installed; none for at any time.
    """

    digest: bytes
    directive: bytes = b""
    install_times: tuple[Opening, ...] = ()


NO_RELEASE = DesiredRelease(b"")


@dataclass(frozen=True, slots=True)
class DesiredNode:
    """What a gateway should make of one node.

    Args:
        bootstrap: None for a node that is to be wiped or forgotten.
        operational: None for a node that is to be forgotten.
        gateway_uri: Where a node finds its next gateway; empty unless it is handed over.
    """

    node_number: int
    endpoint_name: str
    bootstrap: OscoreKeys | None
    operational: OscoreKeys | None
    report_interval_s: int
    lamp_nominal_w: int
    release: DesiredRelease = NO_RELEASE
    task: NodeTask = NodeTask.SERVE
    gateway_uri: str = ""


@dataclass(frozen=True, slots=True)
class DesiredState:
    """Nodes of a gateway whose desired state changed, and what holds for all of it.

    Attributes:
        release_keys: Public keys that may sign.
        release_threshold: How many of them have to.
        trust_documents: Digest of each document, from number 1 on.
        gateway_release: What the gateway itself should run.
    """

    revision: int
    complete: bool
    nodes: tuple[DesiredNode, ...]
    release_keys: tuple[bytes, ...]
    release_threshold: int
    trust_documents: tuple[bytes, ...]
    gateway_release: DesiredRelease = NO_RELEASE


def endpoint_name(mac: str) -> str:
    """Return the LwM2M endpoint name of a node (RFC 9039, urn:dev:mac)."""
    return f"urn:dev:mac:{mac}"


def node_named(name: str) -> str | int:
    """Return the MAC or the number that a name of a node means: MAC, endpoint name or number."""
    if name.isascii() and name.isdigit() and len(name) < 10:
        return int(name)
    return name.removeprefix(endpoint_name(""))


def operational_sender_id(node_number: int) -> bytes:
    """Return the node's Sender ID in its operational context: its number, big-endian, minimal."""
    return node_number.to_bytes((node_number.bit_length() + 7) // 8 or 1, "big")


def check_gateway_name(name: str) -> None:
    """Insist on a name that fits a certificate, a metric label and a file name.

    Raises:
        InvalidError: It does not.
    """
    if not _GATEWAY_NAME.fullmatch(name):
        raise InvalidError(
            f"'{name}' is not a gateway name: use lower-case letters, digits, '.' and '-', "
            "at most 63, starting with a letter or digit"
        )
