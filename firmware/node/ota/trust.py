"""Whose signatures a node believes: what the factory wrote into NVS, or a trust document since.

Not how they are checked (`suit`), and not how a newer document gets here (`trust_chain`).
"""

from micropython import const

from node.codec import cbor
from nodelink.limits import TRUST_MAX_BYTES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

# A key of HSS-LMS begins with its levels, always 1 here, and the type of its tree, 5 to 9
# (RFC 8554, 6.1). An Ed25519 key that begins like that does not turn up.
_HSS_START = b"\x00\x00\x00\x01\x00\x00\x00"
_HSS_BYTES = const(60)
_ED25519_BYTES = const(32)
_NVS_KEY = "trust"


class Trust:
    """Who may sign what. A role is a list of its threshold and its keys.

    Before the first trust document the factory's release keys sign that one.

    Args:
        keys: public keys one after the other, Ed25519 (32 bytes) or HSS-LMS (60 bytes).
        threshold: how many distinct keys must have signed.

    Attributes:
        version: number of the document that counts, 0 for none.
        expires_at_s: nothing may be installed from then on until there is a newer one; 0 for never.
        unix_s: gives wall time, 0 while it is not known.
        root: role that signs the next document.
        release: role that signs releases.
        directive: role that signs directives; without keys nobody asks for any.
        mac: of this node.
    """

    def __init__(self, keys: bytes, threshold: int) -> None:
        role: list[Any] = [threshold]
        at = 0
        while at < len(keys):
            is_hss = keys[at : at + len(_HSS_START)] == _HSS_START
            size = _HSS_BYTES if is_hss else _ED25519_BYTES
            if at + size <= len(keys):
                role.append(keys[at : at + size])
            at += size
        self._nvs: Any = None
        self.unix_s: Any = int  # 0
        self.mac = b""
        self._use([0, 0, role, role, [1]])

    def load(self, nvs: "Any", unix_s: "Callable[[], int]", mac: bytes) -> "Trust":
        """Follow the document in NVS, if there is one, and keep later ones there.

        Args:
            nvs: namespace "identity".
            unix_s: as the attribute.
            mac: as the attribute.
        """
        self._nvs = nvs
        self.unix_s = unix_s
        self.mac = mac
        buffer = bytearray(TRUST_MAX_BYTES)
        try:
            said: Any = cbor.loads(bytes(buffer[: nvs.get_blob(_NVS_KEY, buffer)]))
            self._use(said)
        except OSError:
            pass  # none yet
        return self

    def follow(self, payload: bytes) -> None:
        """Follow the payload of a verified document from now on; one atomic write to flash."""
        self._nvs.set_blob(_NVS_KEY, payload)
        self._nvs.commit()
        said: Any = cbor.loads(payload)
        self._use(said)

    def _use(self, said: "list[Any]") -> None:
        self.version, self.expires_at_s, self.root, self.release, self.directive = said
