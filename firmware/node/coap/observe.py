"""Observations of the node's resources (RFC 7641, the server's side).

Not when a value is worth a notification: `node.lwm2m` decides that.
"""

from micropython import const

from node.coap.exchange import Owner
from node.coap.message import Request

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_MAX_OBSERVATIONS = const(16)


class Observation(Owner):
    """One peer's interest in one path.

    Attributes:
        path, query, accept: as in the request that began it.
        is_active: false once the peer cancelled it, reset a notification, or stayed silent.
    """

    def __init__(self, request: Request) -> None:
        self.path = request.path
        self.query = request.query
        self.accept = request.accept
        self.code = request.code
        self.address = request.address
        self.context: Any = request.context
        self.token = request.token
        self.binding: Any = request.binding
        self.is_active = True
        # RFC 7641, 4.4: 24 bits, and a peer compares within 128 s.
        self.sequence = 1
        self.last_message_id = -1
        self.is_unacknowledged = False
        # The one notification that waits for the acknowledgement of the one before.
        self.queued: Any = None
        self.send_queued: Any = None

    def acknowledged(self) -> None:
        """Send what waited."""
        self.is_unacknowledged = False
        if self.queued is not None:
            self.send_queued(self)

    def was_reset(self) -> None:
        """End: the peer does not want it (RFC 7641, 3.6)."""
        self.is_active = False
        self.queued = None

    def gave_up(self) -> None:
        """End: the peer stays silent (RFC 7641, 4.5)."""
        self.was_reset()


class Observations:
    """The active observations of one endpoint, at most 16 and one per peer and path.

    Overflow: `add` gives None and the request is answered like a plain read (RFC 7641, 4.1).
    """

    def __init__(self) -> None:
        self._observations: list[Observation] = []

    def active(self) -> "list[Observation]":
        """Drop the ended ones and return the others."""
        self._observations = [each for each in self._observations if each.is_active]
        return self._observations

    def add(self, request: Request) -> "Observation | None":
        """Begin the observation `request` asks for, in place of one of the same peer and path."""
        self.end(request)
        if len(self.active()) == _MAX_OBSERVATIONS:
            return None
        observation = Observation(request)
        self._observations.append(observation)
        return observation

    def end(self, request: Request) -> None:
        """End what `request` takes back: the same peer's of the same token or path."""
        for each in self._observations:
            is_same_peer = each.context is request.context and (
                each.context is not None or each.address == request.address
            )
            if is_same_peer and (
                each.token == request.token
                or (each.path == request.path and each.query == request.query)
            ):
                each.was_reset()

    def end_context(self, context: object) -> None:
        """End everything under `context`."""
        for each in self._observations:
            if each.context is context:
                each.was_reset()

    def moved(self, context: object, address: object) -> None:
        """Follow a peer whose address changed; `context` has proved that it is the same."""
        for each in self._observations:
            if each.context is context:
                each.address = address

    def was_reset(self, message_id: int, address: object) -> None:
        """End the observation whose last notification, not confirmable, was answered by Reset."""
        for each in self._observations:
            if each.last_message_id == message_id and each.address == address:
                each.was_reset()
