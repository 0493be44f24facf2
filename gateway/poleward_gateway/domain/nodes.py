"""Nodes as the gateway sees them: what they should be, what they say they are, whether they live.

Not how any of it travels: the mapping to LwM2M and to gRPC is in the adapters.
"""

from dataclasses import dataclass, field
from enum import Enum
from typing import NewType

from poleward_gateway.domain.trust import Signers
from poleward_gateway.domain.updates import NO_RELEASE, DesiredRelease, NodeUpdate

NodeNumber = NewType("NodeNumber", int)
"""Number of a node, assigned by the fleet, from 1."""

AWAKE_S = 93
"""A node in queue mode listens this long after each of its messages (OMA LwM2M TS Core 1.1, 6.5:
MAX_TRANSMIT_WAIT of RFC 7252, 4.8.2)."""

SILENT_AFTER_INTERVALS = 3
"""Report intervals without a message after which a node counts as silent (docs: product)."""


@dataclass(frozen=True, slots=True)
class OscoreKeys:
    """Parameters of one OSCORE security context (RFC 8613, 3.2)."""

    master_secret: bytes = field(repr=False)
    master_salt: bytes = field(repr=False)
    node_id: bytes
    gateway_id: bytes


class NodeTask(Enum):
    """What the gateway owes a node."""

    SERVE = "serve"
    HAND_OVER = "hand_over"
    """It goes to another gateway: bootstrap with that one's address is all it gets here."""
    WIPE = "wipe"
    """It is to forget its operational keys, which are good for nothing else."""


@dataclass(frozen=True, slots=True)
class DesiredNode:
    """What the fleet wants one node to be.

    Args:
        gateway_uri: Where the node finds its next gateway; empty for this one.
        is_adopted: Taken by a work order; the fleet has not said so itself.
    """

    number: NodeNumber
    endpoint_name: str
    bootstrap: OscoreKeys
    operational: OscoreKeys
    report_interval_s: int
    lamp_nominal_w: int
    release: DesiredRelease = NO_RELEASE
    task: NodeTask = NodeTask.SERVE
    gateway_uri: str = ""
    is_adopted: bool = False

    @property
    def subject(self) -> str:
        """The node as directives and downgrade permissions name it; its MAC is that of RFC 9039."""
        return f"node:{self.endpoint_name.rpartition(':')[2]}"


@dataclass(frozen=True, slots=True)
class DesiredChange:
    """One message of desired state.

    Args:
        revision: Revision after applying it.
        complete: It holds every node; nodes not in it are to be forgotten, but for adopted ones.
        nodes: Nodes that are new or changed.
        removed: Nodes whose keys are to be forgotten.
        signers: Who may sign releases.
        trust_documents: Digest of each trust document, from number 1 on.
        own_release: What the gateway itself should run.
    """

    revision: int
    complete: bool
    nodes: tuple[DesiredNode, ...]
    removed: tuple[NodeNumber, ...]
    signers: Signers
    trust_documents: tuple[bytes, ...]
    own_release: DesiredRelease = NO_RELEASE


@dataclass(frozen=True, slots=True)
class Registration:
    """A node's registration, as it survives a restart of the gateway.

    Args:
        until_ms: Unix milliseconds at which it expires.
        heard_at_ms: Last message that was known when this was written.
        is_queued: The node sleeps and listens only after its own messages.
        where: The node's address in words of the node link; empty when not known.
    """

    node: NodeNumber
    until_ms: int
    heard_at_ms: int
    is_queued: bool
    where: str


class LinkState(Enum):
    """Whether a node can be reached."""

    BOOTSTRAPPED = "bootstrapped"
    ONLINE = "online"
    SILENT = "silent"
    OFFLINE = "offline"


@dataclass(frozen=True, slots=True)
class DeviceFacts:
    """What a node says about itself after it registered."""

    manufacturer: str
    model: str
    hardware_version: str
    bundle_version: str
    release_sequence: int
    on_trial: bool
    last_failure: str
    trust_version: int | None = None


@dataclass(frozen=True, slots=True)
class NodeState:
    """Reported state of one node; None where it is not known or did not change."""

    number: NodeNumber
    link_state: LinkState
    heard_at_ms: int
    boot: int | None = None
    device: DeviceFacts | None = None
    update: NodeUpdate | None = None
    program_digest: str | None = None


def link_state_after(
    *,
    registered: bool,
    ever_registered: bool,
    heard_at_ms: int,
    now_ms: int,
    report_interval_s: int,
) -> LinkState:
    """Say whether a node is online, by the rule "silent after three report intervals".

    Args:
        registered: Its registration has not expired and it did not de-register.
        ever_registered: It registered since it got its keys.
        heard_at_ms: Last authenticated message, Unix milliseconds.
        now_ms: Unix milliseconds.
        report_interval_s: Seconds between two reports.
    """
    if not registered:
        return LinkState.OFFLINE if ever_registered else LinkState.BOOTSTRAPPED
    silent_for_ms = now_ms - heard_at_ms
    if silent_for_ms > SILENT_AFTER_INTERVALS * report_interval_s * 1000:
        return LinkState.SILENT
    return LinkState.ONLINE
