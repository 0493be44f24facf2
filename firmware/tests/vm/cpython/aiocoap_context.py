"""An aiocoap OSCORE context in memory, for holding the node against aiocoap.

Not for a gateway: it forgets its sequence number.
"""

from aiocoap import oscore


class MemoryContext(oscore.CanProtect, oscore.CanUnprotect, oscore.SecurityContextUtils):
    """The peer of a node's context, from the same secret and salt."""

    def __init__(self, secret: bytes, salt: bytes, sender_id: bytes, recipient_id: bytes) -> None:
        self.alg_aead = oscore.algorithms["AES-CCM-16-64-128"]
        self.hashfun = oscore.hashfunctions["sha256"]
        self.sender_id = sender_id
        self.recipient_id = recipient_id
        self.id_context = None
        self.sender_sequence_number = 0
        self.recipient_replay_window = oscore.ReplayWindow(32, lambda: None)
        self.recipient_replay_window.initialize_empty()
        self.echo_recovery = None
        self.derive_keys(salt, secret)

    def post_seqnoincrease(self) -> None:
        """Keep nothing."""

    def context_for_response(self) -> "MemoryContext":
        """Answer under this context."""
        return self

    def get_oscore_context_for(self, unprotected: dict) -> "MemoryContext | None":
        """Accept requests that carry our peer's kid."""
        return self if unprotected.get(oscore.COSE_KID) == self.recipient_id else None
