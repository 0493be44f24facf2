"""Tells a second device with a node's identity from somebody who repeats what they heard.

Not what follows from it: the fleet quarantines the node.
"""

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from aiocoap import oscore
from aiocoap.message import Message

from poleward_gateway.adapters.node_link.security import NodeContext, Purpose
from poleward_gateway.domain.nodes import NodeNumber

CHALLENGE_PAUSE_S = 1.0
"""Between two challenges to one context: whoever repeats messages costs no more than this."""
CHALLENGE_VALID_S = 60.0
_NUMBERS_KEPT = 8
"""Sender numbers that are left for other messages."""


@dataclass(slots=True)
class _Challenge:
    value: bytes
    began_s: float
    sent_s: float


class CloneWatch:
    """Challenges whoever used a sequence number again (RFC 8613, 7.4; RFC 9175, 2.3).

    An eavesdropper can repeat a request, but cannot put our Echo value into one. A device that
    holds the keys can; when the request with it uses an old number too, this device and the one
    that used the number first are not the same, or it was set back to an older state. A value is
    good for one answer, so that repeating that answer proves nothing. Bounded by the contexts.

    Args:
        monotonic_s: Time.
        on_clone: Told of the node.
    """

    def __init__(
        self, monotonic_s: Callable[[], float], on_clone: Callable[[NodeNumber], None]
    ) -> None:
        self._monotonic_s = monotonic_s
        self._on_clone = on_clone
        self._challenges: dict[tuple[NodeNumber, Purpose], _Challenge] = {}

    def answer(self, context: NodeContext) -> Any | None:
        """Answer an authentic request with an old number: 4.01 with Echo, or None for 4.01."""
        plaintext, request_id = context.decrypted
        key = (context.node, context.purpose)
        now_s = self._monotonic_s()
        known = self._challenges.get(key)
        if known is not None and now_s - known.began_s > CHALLENGE_VALID_S:
            known = None
        if known is not None and _echo_of(plaintext) == known.value:
            del self._challenges[key]
            self._on_clone(context.node)
            return None
        if known is not None and now_s - known.sent_s < CHALLENGE_PAUSE_S:
            return None
        if context.numbers_left <= _NUMBERS_KEPT:
            return None
        if known is None:
            known = self._challenges[key] = _Challenge(secrets.token_bytes(8), now_s, now_s)
        known.sent_s = now_s
        return oscore.ReplayErrorWithEcho(
            secctx=context, request_id=request_id, echo=known.value
        ).to_message()


def _echo_of(plaintext: bytes) -> bytes | None:
    inner: Any = Message(code=plaintext[0])
    inner.opt.decode(plaintext[1:])
    echo: bytes | None = inner.opt.echo
    return echo
