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

Binding = tuple[bytes, bytes]
"""Nonce and additional data of an exchange, the same for the request and its answer."""


class ReportCipher:
    """Opens requests and seals one answer to each, with all that never changes made beforehand.

    Making cipher objects and CBOR for each message costs more than the encryption.

    Args:
        context: Security context of aiocoap's, keys derived, without ID context.
    """

    __slots__ = ("_aad", "_decrypt", "_encrypt", "_nonce")

    def __init__(self, context: Any) -> None:
        self._decrypt = AESCCM(context.recipient_key, tag_length=_TAG_BYTES).decrypt
        self._encrypt = AESCCM(context.sender_key, tag_length=_TAG_BYTES).encrypt
        kid = context.recipient_id
        # RFC 8613, 5.2: length of the id, the id, the Partial IV, XOR the common IV. An answer
        # without a Partial IV of its own uses the request's nonce.
        named = len(kid) << 8 * (_NONCE_BYTES - 1) | int.from_bytes(kid, "big") << _ID_SHIFT
        self._nonce = named ^ int.from_bytes(context.common_iv, "big")
        # RFC 8613, 5.4: up to the Partial IV's bytes, by their number.
        self._aad = [b""] + [_aad_before(kid, count) for count in range(1, _PIV_BYTES_MAX + 1)]

    def bind(self, number: int, partial_iv: bytes) -> Binding:
        """Make what both messages of an exchange are bound to.

        Args:
            number: Of the request.
            partial_iv: The same, as it stands in the request.
        """
        return (
            (self._nonce ^ number).to_bytes(_NONCE_BYTES, "big"),
            self._aad[len(partial_iv)] + partial_iv + b"\x40",
        )

    def open(self, binding: Binding, ciphertext: bytes) -> bytes | None:
        """Decrypt the other side's message; None when it is not authentic."""
        nonce, aad = binding
        try:
            return self._decrypt(nonce, ciphertext, aad)
        except InvalidTag:
            return None

    def seal(self, binding: Binding, plaintext: bytes) -> bytes:
        """Encrypt our message; only once for each exchange, or the nonce is reused."""
        nonce, aad = binding
        return self._encrypt(nonce, plaintext, aad)


def _aad_before(kid: bytes, partial_iv_count: int) -> bytes:
    """Encode the Encrypt0 structure (RFC 9052, 5.3) up to the bytes of the Partial IV."""
    external = cbor2.dumps([1, [_ALGORITHM], kid, bytes(partial_iv_count), b""])
    whole = cbor2.dumps(["Encrypt0", b"", external])
    return whole[: len(whole) - partial_iv_count - 1]
