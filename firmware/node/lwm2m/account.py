"""The account at the gateway: address, keys and settings that bootstrap gave, kept in NVS.

Not the factory identity, which bootstrap itself uses and nothing here writes.
"""

from micropython import const

from nodelink.limits import LIFETIME_S

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_BLOB_MAX_BYTES = const(256)


class Account:
    """What the node knows of its gateway.

    Args:
        nvs: Namespace "account".
    """

    def __init__(self, nvs: "Any") -> None:
        self._nvs = nvs
        self.is_complete = bool(read_integer(nvs, "complete", 0))
        self.lifetime_s = read_integer(nvs, "lifetime_s", LIFETIME_S)
        self.short_server_id = read_integer(nvs, "server_id", 1)
        # OMA LwM2M TS Core 1.1, E.2: Send is off until the server unmutes it.
        self.is_send_muted = bool(read_integer(nvs, "muted", 1))
        self.uri = read_blob(nvs, "uri").decode()
        self.secret = read_blob(nvs, "secret")
        self.salt = read_blob(nvs, "salt")
        self.sender_id = read_blob(nvs, "sender_id")
        self.recipient_id = read_blob(nvs, "recipient_id")
        self.sequence = read_integer(nvs, "sequence", 0)

    def replace(
        self,
        *,
        uri: str,
        short_server_id: int,
        lifetime_s: int,
        is_send_muted: bool,
        secret: bytes,
        salt: bytes,
        sender_id: bytes,
        recipient_id: bytes,
    ) -> None:
        """Take a new account durably.

        A power cut in between leaves no account, so the node bootstraps again. The same keys keep
        their sequence number: starting again would use a nonce twice (RFC 8613, 7.2.1).
        """
        before = (self.secret, self.salt, self.sender_id, self.recipient_id)
        if before != (secret, salt, sender_id, recipient_id):
            self.sequence = 0
        nvs = self._nvs
        nvs.set_i32("complete", 0)
        nvs.commit()
        for key, blob in (
            ("uri", uri.encode()),
            ("secret", secret),
            ("salt", salt),
            ("sender_id", sender_id),
            ("recipient_id", recipient_id),
        ):
            nvs.set_blob(key, blob)
        nvs.set_i32("lifetime_s", lifetime_s)
        nvs.set_i32("server_id", short_server_id)
        nvs.set_i32("muted", 1 if is_send_muted else 0)
        nvs.set_i32("sequence", self.sequence)
        nvs.set_i32("complete", 1)
        nvs.commit()
        self.uri, self.lifetime_s, self.short_server_id = uri, lifetime_s, short_server_id
        self.secret, self.salt = secret, salt
        self.sender_id, self.recipient_id = sender_id, recipient_id
        self.is_send_muted = is_send_muted
        self.is_complete = True

    def forget(self) -> None:
        """Erase the keys and the address durably."""
        nvs = self._nvs
        nvs.set_i32("complete", 0)
        nvs.commit()
        for key in ("secret", "salt", "uri"):
            try:
                nvs.erase_key(key)
            except OSError:
                pass  # it was not there
        nvs.commit()
        self.secret = self.salt = b""
        self.uri = ""
        self.is_complete = False

    def set_lifetime(self, lifetime_s: int) -> None:
        """Keep the registration lifetime."""
        self.lifetime_s = lifetime_s
        self._keep("lifetime_s", lifetime_s)

    def set_send_muted(self, is_muted: bool) -> None:
        """Keep whether reports may be sent."""
        if is_muted != self.is_send_muted:
            self.is_send_muted = is_muted
            self._keep("muted", 1 if is_muted else 0)

    def store_sequence(self, sequence: int) -> None:
        """Keep the OSCORE sequence number from which on none was used (RFC 8613, B.1.1)."""
        self.sequence = sequence
        self._keep("sequence", sequence)

    def _keep(self, key: str, value: int) -> None:
        self._nvs.set_i32(key, value)
        self._nvs.commit()


def read_integer(nvs: "Any", key: str, default: int) -> int:
    """Read an integer of NVS, or the default when there is none."""
    try:
        return int(nvs.get_i32(key))
    except OSError:
        return default


def read_blob(nvs: "Any", key: str) -> bytes:
    """Read bytes of NVS, empty when there are none."""
    buffer = bytearray(_BLOB_MAX_BYTES)
    try:
        return bytes(buffer[: nvs.get_blob(key, buffer)])
    except OSError:
        return b""
