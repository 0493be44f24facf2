"""Whose signatures a node believes, as the factory wrote it into NVS.

Not how they are checked.
"""

from micropython import const

# A key of HSS-LMS begins with its levels, always 1 here, and the type of its tree, 5 to 9
# (RFC 8554, 6.1). An Ed25519 key that begins like that does not turn up.
_HSS_START = b"\x00\x00\x00\x01\x00\x00\x00"
_HSS_BYTES = const(60)
_ED25519_BYTES = const(32)


class Trust:
    """Release keys, and how many of them have to sign.

    Args:
        keys: public keys one after the other, Ed25519 (32 bytes) or HSS-LMS (60 bytes).
        threshold: how many distinct keys must have signed.
    """

    def __init__(self, keys: bytes, threshold: int) -> None:
        self.keys: list[bytes] = []
        self.threshold = max(1, threshold)
        at = 0
        while at < len(keys):
            is_hss = keys[at : at + len(_HSS_START)] == _HSS_START
            size = _HSS_BYTES if is_hss else _ED25519_BYTES
            if at + size <= len(keys):
                self.keys.append(keys[at : at + size])
            at += size
