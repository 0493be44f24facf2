"""Walks from the trust document that counts to the newest one that the gateway has.

Not what the documents allow: `trust`. Loaded for one walk and dropped after it.
"""

from node.codec import cbor
from node.ota import suit
from node.ota.errors import FetchRefused
from nodelink.limits import ENVELOPE_MAX_BYTES, TRUST_MAX_BYTES
from nodelink.release_format import PATH_TRUST

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from node.ota.trust import Trust


async def walk(trust: "Trust", fetch: "Any") -> None:
    """Take each further document over, one after the other.

    A power cut leaves the node with one of them, whole; the next walk goes on there.

    Args:
        trust: is changed.
        fetch: as in `node.ota.updater.Updater`.

    Raises:
        Exception: of any kind; a document does not follow the one before, which keeps counting.
    """
    while True:
        document = _Document()
        try:
            await fetch((PATH_TRUST, str(trust.version + 1)), document, start_block=0)
        except FetchRefused:
            return
        parts: Any = cbor.loads(bytes(document.contents))
        payload = parts[0]
        said: Any = cbor.loads(payload)
        version, _, root, release, _ = said
        if version != trust.version + 1 or len(payload) > TRUST_MAX_BYTES or len(release) < 2:
            raise ValueError
        await suit.check_signatures(parts, trust.root)
        await suit.check_signatures(parts, root)
        trust.follow(payload)
        print("trust document", version)


class _Document:
    """Takes a document into RAM."""

    def __init__(self) -> None:
        self.contents = bytearray()

    def write(self, view: memoryview) -> None:
        """Append a block."""
        if len(self.contents) + len(view) > ENVELOPE_MAX_BYTES:
            raise ValueError
        self.contents.extend(view)
