"""OSCORE (RFC 8613) of the one exchange that is most of the traffic: a report and its short answer.

Not OSCORE in general, which is aiocoap's. The two are held against each other by tests.
"""

from typing import Any

import cbor2
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESCCM

_TAG_BYTES = 8  # AES-CCM-16-64-128 (RFC 9053, 4.2)
_NONCE_BYTES = 13
_ALGORITHM = 10  # RFC 9053, 4.2
_ID_SHIFT = 8 * 5  # RFC 8613, 5.2: the Partial IV takes the nonce's last five bytes
_PIV_BYTES_MAX = 5


class ReportCipher:
    """Opens requests and seals one answer to each, with all that never changes made beforehand.

    Making cipher objects and CBOR for each message costs more than the encryption.

    Args:
        context: Security context of aiocoap's, keys derived, without ID context.
    """

    __slots__ = ("_aad", "_nonce", "_open", "_seal")

    def __init__(self, context: Any) -> None:
        self._open = AESCCM(context.recipient_key, tag_length=_TAG_BYTES)
        self._seal = AESCCM(context.sender_key, tag_length=_TAG_BYTES)
        kid = context.recipient_id
        # RFC 8613, 5.2: length of the id, the id, the Partial IV, XOR the common IV. An answer
        # without a Partial IV of its own uses the request's nonce.
        named = len(kid) << 8 * (_NONCE_BYTES - 1) | int.from_bytes(kid, "big") << _ID_SHIFT
        self._nonce = named ^ int.from_bytes(context.common_iv, "big")
        # RFC 8613, 5.4: up to the Partial IV's bytes, by their number.
        self._aad = [b""] + [_aad_before(kid, count) for count in range(1, _PIV_BYTES_MAX + 1)]

    def open(self, number: int, partial_iv: bytes, ciphertext: bytes) -> bytes | None:
        """Decrypt the request with a number, as the Partial IV has it; None when not authentic."""
        nonce = (self._nonce ^ number).to_bytes(_NONCE_BYTES, "big")
        aad = self._aad[len(partial_iv)] + partial_iv + b"\x40"
        try:
            return self._open.decrypt(nonce, ciphertext, aad)
        except InvalidTag:
            return None

    def seal(self, number: int, partial_iv: bytes, plaintext: bytes) -> bytes:
        """Encrypt the answer to a request; only once for each request, or the nonce is reused."""
        nonce = (self._nonce ^ number).to_bytes(_NONCE_BYTES, "big")
        aad = self._aad[len(partial_iv)] + partial_iv + b"\x40"
        return self._seal.encrypt(nonce, plaintext, aad)


def _aad_before(kid: bytes, partial_iv_count: int) -> bytes:
    """Encode the Encrypt0 structure (RFC 9052, 5.3) up to the bytes of the Partial IV."""
    external = cbor2.dumps([1, [_ALGORITHM], kid, bytes(partial_iv_count), b""])
    whole = cbor2.dumps(["Encrypt0", b"", external])
    return whole[: len(whole) - partial_iv_count - 1]
