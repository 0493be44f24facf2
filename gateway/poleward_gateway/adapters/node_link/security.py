"""OSCORE security contexts (RFC 8613) of every node, found by key id.

Not the keys' origin (desired state) nor the storage of their numbers (adapters/storage). The
contexts are aiocoap's with storage of our own: its file-system contexts keep a descriptor each
and are searched one by one.
"""

import asyncio
import hashlib
import secrets
from collections.abc import Iterable, Mapping, Sequence
from enum import Enum
from typing import Any, Protocol

import structlog
from aiocoap import oscore

from poleward_gateway.adapters.node_link.datagrams import NodeAddress
from poleward_gateway.domain.nodes import DesiredNode, NodeNumber, NodeTask, OscoreKeys
from poleward_gateway.ports.clock import Tally

_log = structlog.get_logger(__name__)

SENDER_STEP = 64
"""Sender numbers reserved with one write (RFC 8613, B.1.1)."""

REPLAY_WINDOW = 32
"""RFC 8613, 3.2.2."""


class SequenceNumbers(Protocol):
    """Durable sender numbers and replay windows (adapters/storage/sequence_numbers.py)."""

    def open_now(self, context_ids: Iterable[bytes], step: int) -> dict[bytes, Sequence[int]]:
        """Reserve and read before the event loop serves anybody."""

    async def open(self, context_ids: Iterable[bytes], step: int) -> dict[bytes, Sequence[int]]:
        """Reserve and read."""

    async def reserve(self, context_id: bytes, up_to: int) -> None:
        """Reserve sender numbers below `up_to`."""

    async def close(self, used: Mapping[bytes, tuple[int, tuple[int, int] | None]]) -> None:
        """Keep what an orderly stop knows."""


class Purpose(Enum):
    """What a context may be used for."""

    BOOTSTRAP = "bootstrap"
    OPERATIONAL = "operational"
    FAREWELL = "farewell"
    """Telling a node that left to forget its keys, and nothing else."""


class NodeContext(
    oscore.CanProtect,
    oscore.CanUnprotect,
    oscore.SecurityContextUtils,
):
    """Security context with one node for one purpose.

    After a crash the replay window is unknown; the first request is then answered with a
    challenge (RFC 8613, B.1.2), which aiocoap does when `echo_recovery` is set.

    Args:
        numbers: First reserved sender number, then index and bits of the window where known.
    """

    alg_aead = oscore.algorithms["AES-CCM-16-64-128"]
    hashfun = oscore.hashfunctions["sha256"]
    id_context = None

    def __init__(
        self, node: NodeNumber, purpose: Purpose, keys: OscoreKeys, numbers: Sequence[int]
    ) -> None:
        self.node = node
        self.purpose = purpose
        self.keys = keys
        self.context_id = context_id(keys)
        self.address: NodeAddress | None = None
        self.sender_id = keys.gateway_id
        self.recipient_id = keys.node_id
        self.derive_keys(keys.master_salt, keys.master_secret)
        self.sender_sequence_number = numbers[0]
        self.reserved = numbers[0] + SENDER_STEP
        self.reservation: asyncio.Task[None] | None = None
        self.decrypted: tuple[bytes, Any] = (b"", None)
        self.echo_recovery = secrets.token_bytes(8)
        self.recipient_replay_window = oscore.ReplayWindow(REPLAY_WINDOW, lambda: None)
        # Another gateway may have heard bootstrap requests since this one did: no window counts.
        if len(numbers) == 3 and purpose is not Purpose.BOOTSTRAP:
            self.recipient_replay_window.initialize_from_persisted(
                {"index": numbers[1], "bitfield": numbers[2]}
            )

    def __repr__(self) -> str:
        return f"<{self.purpose.value} context of node {self.node}>"

    @property
    def numbers_left(self) -> int:
        """Sender numbers that may be used before more are reserved."""
        return self.reserved - self.sender_sequence_number

    def _post_decrypt_checks(
        self, aad: bytes, plaintext: bytes, protected_message: Any, request_id: Any
    ) -> None:
        """Keep what was decrypted: aiocoap does not say what an old number came with."""
        super()._post_decrypt_checks(aad, plaintext, protected_message, request_id)
        self.decrypted = (plaintext, request_id)

    def post_seqnoincrease(self) -> None:
        """Do nothing: `SecurityTable.ready_to_send` reserves ahead of use."""

    def new_sequence_number(self) -> int:
        """Take the next sender number.

        Raises:
            oscore.ContextUnavailable: None is reserved; wait for `ready_to_send`.
        """
        if self.numbers_left <= 0:
            raise oscore.ContextUnavailable(f"no sender number is reserved for node {self.node}")
        return int(super().new_sequence_number())

    def window(self) -> tuple[int, int] | None:
        """Return index and bits of the replay window, where known."""
        if not self.recipient_replay_window.is_initialized():
            return None
        known = self.recipient_replay_window.persist()
        return known["index"], known["bitfield"]


class PlainContext:
    """Stands in for a security context where `insecure_nosec` lets a node go without.

    It proves nothing: whoever sends from the address that registered is taken for the node.
    """

    purpose = Purpose.OPERATIONAL

    def __init__(self, node: NodeNumber, address: NodeAddress) -> None:
        self.node = node
        self.address: NodeAddress | None = address
        self.context_id = repr(address).encode()

    def protect(self, message: Any, request_id: None = None) -> tuple[Any, None]:
        """Return the message as a new one."""
        return message.copy(mid=None, token=b"", remote=None), None

    def unprotect(self, message: Any, request_id: None = None) -> tuple[Any, None]:
        """Return the message."""
        return message, None


Context = NodeContext | PlainContext


def context_id(keys: OscoreKeys) -> bytes:
    """Name a context by its keys, so that the same keys always go on counting."""
    parts = (keys.master_secret, keys.master_salt, keys.node_id, keys.gateway_id)
    return hashlib.sha256(b"".join(bytes([len(part)]) + part for part in parts)).digest()[:16]


class SecurityTable:
    """Every security context by key id; implements the port SecurityContexts."""

    def __init__(self, numbers: SequenceNumbers, tally: Tally) -> None:
        self._numbers = numbers
        self._tally = tally
        self._by_kid: dict[bytes, NodeContext] = {}
        self._by_purpose: dict[Purpose, dict[NodeNumber, NodeContext]] = {
            purpose: {} for purpose in Purpose
        }
        self._by_endpoint_name: dict[str, NodeNumber] = {}
        self._plain: dict[NodeNumber, PlainContext] = {}

    def __len__(self) -> int:
        return len(self._by_kid)

    def load_now(self, nodes: Sequence[DesiredNode]) -> None:
        """Make the contexts of every node before the gateway serves."""
        self._by_endpoint_name = {node.endpoint_name: node.number for node in nodes}
        wanted = list(_contexts_of(nodes))
        found = self._numbers.open_now([context_id(keys) for _, _, keys in wanted], SENDER_STEP)
        for node, purpose, keys in wanted:
            self._add(NodeContext(node, purpose, keys, found[context_id(keys)]))

    async def replace(self, nodes: Sequence[DesiredNode], *, removed: Sequence[NodeNumber]) -> None:
        """Use the keys of these nodes; forget those of the removed."""
        self._by_endpoint_name = {node.endpoint_name: node.number for node in nodes}
        for number in removed:
            self._plain.pop(number, None)
        all_wanted = list(_contexts_of(nodes))
        self._drop_all_but({(node, purpose): keys for node, purpose, keys in all_wanted})
        wanted = [
            (node, purpose, keys)
            for node, purpose, keys in all_wanted
            if not self._holds(node, purpose, keys)
        ]
        if not wanted:
            return
        found = await self._numbers.open([context_id(keys) for _, _, keys in wanted], SENDER_STEP)
        for node, purpose, keys in wanted:
            self._forget(self._by_purpose[purpose].get(node))
            self._add(NodeContext(node, purpose, keys, found[context_id(keys)]))

    def by_kid(self, kid: bytes) -> NodeContext | None:
        """Find a context by the key id in a request."""
        return self._by_kid.get(kid)

    def operational(self, node: NodeNumber) -> Context | None:
        """Find the context for everything but bootstrap."""
        return self._plain.get(node) or self._by_purpose[Purpose.OPERATIONAL].get(node)

    def farewell(self, node: NodeNumber) -> Context | None:
        """Find the context for telling a node to forget its keys."""
        return self._by_purpose[Purpose.FAREWELL].get(node)

    def plain(self, address: NodeAddress) -> PlainContext | None:
        """Find who registered without security from an address."""
        return next((c for c in self._plain.values() if c.address == address), None)

    def open_plain(self, endpoint_name: str, address: NodeAddress) -> PlainContext | None:
        """Take an address for a node without any proof; None for a name that nobody has."""
        node = self._by_endpoint_name.get(endpoint_name)
        if node is None:
            return None
        context = self._plain[node] = PlainContext(node, address)
        return context

    def where(self, node: NodeNumber) -> str:
        """Say from where a node was heard last; empty when that is not known or not proved."""
        context = self._by_purpose[Purpose.OPERATIONAL].get(node)
        if context is None or context.address is None or node in self._plain:
            return ""
        return context.address.to_text()

    def expect(self, node: NodeNumber, where: str) -> None:
        """Take a node to be where it was heard before the gateway was restarted."""
        context = self._by_purpose[Purpose.OPERATIONAL].get(node)
        if context is not None and context.address is None and where:
            context.address = NodeAddress.from_text(where)

    async def ready_to_send(self, context: Context) -> None:
        """Wait until a context has a sender number; reserve more in good time."""
        if isinstance(context, PlainContext):
            return
        if context.numbers_left <= SENDER_STEP // 2 and context.reservation is None:
            context.reservation = asyncio.create_task(self._reserve(context))
        while context.numbers_left <= 0:
            if context.reservation is None:
                context.reservation = asyncio.create_task(self._reserve(context))
            await asyncio.shield(context.reservation)

    async def close(self) -> None:
        """Keep numbers and windows for the next start."""
        pending = [c.reservation for c in self._by_kid.values() if c.reservation is not None]
        if pending:
            await asyncio.wait(pending)
        await self._numbers.close(
            {c.context_id: (c.sender_sequence_number, c.window()) for c in self._by_kid.values()}
        )
        self._by_kid.clear()

    async def _reserve(self, context: NodeContext) -> None:
        """Reserve the next numbers of a context."""
        try:
            up_to = context.reserved + SENDER_STEP
            await self._numbers.reserve(context.context_id, up_to)
            context.reserved = up_to
        finally:
            context.reservation = None

    def _drop_all_but(self, wanted: Mapping[tuple[NodeNumber, Purpose], OscoreKeys]) -> None:
        """Forget contexts that nobody wants; operational ones may still be good for a farewell."""
        for purpose, held in self._by_purpose.items():
            for node, context in list(held.items()):
                if (node, purpose) in wanted:
                    continue
                del held[node]
                if wanted.get((node, Purpose.FAREWELL)) == context.keys:
                    context.purpose = Purpose.FAREWELL
                    self._by_purpose[Purpose.FAREWELL][node] = context
                else:
                    self._forget(context)

    def _holds(self, node: NodeNumber, purpose: Purpose, keys: OscoreKeys) -> bool:
        held = self._by_purpose[purpose].get(node)
        return held is not None and held.keys == keys

    def _add(self, context: NodeContext) -> None:
        other = self._by_kid.get(context.recipient_id)
        if other is not None and other.node != context.node:
            # RFC 8613, 3.3: recipient ids are unique. The fleet made a mistake; the newer wins.
            self._tally.count("key_id_conflicts")
            _log.error("key_id_conflict", node=context.node, other=other.node)
        self._by_kid[context.recipient_id] = context
        self._by_purpose[context.purpose][context.node] = context

    def _forget(self, context: NodeContext | None) -> None:
        if context is not None and self._by_kid.get(context.recipient_id) is context:
            del self._by_kid[context.recipient_id]


def _contexts_of(
    nodes: Iterable[DesiredNode],
) -> Iterable[tuple[NodeNumber, Purpose, OscoreKeys]]:
    """List the contexts that nodes need; a node without keys for a purpose has none."""
    for node in nodes:
        if node.task is NodeTask.WIPE:
            yield node.number, Purpose.FAREWELL, node.operational
            continue
        if node.bootstrap.master_secret:
            yield node.number, Purpose.BOOTSTRAP, node.bootstrap
        if node.operational.master_secret and node.task is NodeTask.SERVE:
            yield node.number, Purpose.OPERATIONAL, node.operational
