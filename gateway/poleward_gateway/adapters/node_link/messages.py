"""aiocoap's message and token layers, with bounded memory and matching that survives a NAT.

Not security and not what requests mean: endpoint.py.
"""

from collections import OrderedDict
from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary

from aiocoap.messagemanager import MessageManager
from aiocoap.tokenmanager import TokenManager

from poleward_gateway.adapters.node_link.datagrams import NodeAddress

EXCHANGE_LIFETIME_S = 247.0
"""RFC 7252, 4.8.2."""

REMEMBERED_MAX = 32_768
"""Requests remembered for deduplication; the oldest are forgotten first. OSCORE's replay window
stops a duplicate that was forgotten here."""


class BoundedMessages(MessageManager):
    """Message layer that remembers answers as bytes, at most REMEMBERED_MAX of them.

    aiocoap keeps message objects and a timer each: 2.7 KB for 247 s, which is what fills its
    memory and stops it for half a second when garbage is collected.
    """

    def __init__(self, tokens: Any) -> None:
        super().__init__(tokens)
        self._answers: OrderedDict[tuple[NodeAddress, int], tuple[float, bytes | None]] = (
            OrderedDict()
        )
        self._whereabouts: WeakKeyDictionary[Any, Callable[[], NodeAddress | None]] = (
            WeakKeyDictionary()
        )

    def follow(self, message: Any, whereabouts: Callable[[], NodeAddress | None]) -> None:
        """Have every transmission of a request go to where its node is by then."""
        self._whereabouts[message] = whereabouts

    def _send_via_transport(self, message: Any) -> None:
        """Put a message on the wire; it stays known by the address that it was first meant for."""
        whereabouts = self._whereabouts.get(message)
        address = None if whereabouts is None else whereabouts()
        if address is None:
            super()._send_via_transport(message)
        else:
            self.message_interface.send_bytes(message.encode(), address)

    def _deduplicate_message(self, message: Any) -> bool:
        """Say whether a request is a duplicate; answer it again if there is an answer."""
        now_s = self.loop.time()
        self._forget_before(now_s - EXCHANGE_LIFETIME_S)
        key = (message.remote, message.mid)
        remembered = self._answers.get(key)
        if remembered is None:
            self._answers[key] = (now_s, None)
            return False
        if remembered[1] is not None:
            self.message_interface.send_bytes(remembered[1], message.remote)
        return True

    def _store_response_for_duplicates(self, message: Any) -> None:
        """Keep an answer for duplicates of its request."""
        key = (message.remote, message.mid)
        remembered = self._answers.get(key)
        if remembered is not None:
            self._answers[key] = (remembered[0], message.encode())

    def _forget_before(self, moment_s: float) -> None:
        """Forget what is too old, and the oldest of what is too much."""
        while self._answers:
            key, (arrived_s, _) = next(iter(self._answers.items()))
            if arrived_s >= moment_s and len(self._answers) < REMEMBERED_MAX:
                return
            del self._answers[key]

    def give_up(self, message: Any) -> None:
        """Stop sending a request that nobody waits for, so that the next to that node can go."""
        exchange = self._active_exchanges.pop((message.remote, message.mid), None)
        if exchange is not None:
            exchange[1].cancel()
            self._continue_backlog(message.remote)
            return
        backlog = self._backlogs.get(message.remote, [])
        backlog[:] = [waiting for waiting in backlog if waiting[0] is not message]


class NodeTokens(TokenManager):
    """Token layer that matches an answer by its token alone.

    The tokens of one gateway are unique, and what an answer is worth is decided by its security
    context: so a node may answer, and go on notifying, from an address it did not have before.
    """

    def process_response(self, response: Any) -> bool:
        """Hand an answer to whoever asked; False when nobody did."""
        key: Any = (response.token, response.remote)
        if key not in self.outgoing_requests:
            key = next((k for k in self.outgoing_requests if k[0] == response.token), None)
            if key is None:
                return False
        pipe = self.outgoing_requests[key]
        final = pipe.request.opt.observe != 0 or response.opt.observe is None
        if final:
            del self.outgoing_requests[key]
        pipe.add_response(response, is_last=final)
        return True
