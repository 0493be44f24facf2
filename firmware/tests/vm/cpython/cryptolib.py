"""MicroPython's `cryptolib` on top of the package cryptography, for node tests on CPython."""

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC, ECB, Mode

MODE_ECB = 1
MODE_CBC = 2


class aes:  # noqa: N801 - MicroPython's name
    """AES in ECB or CBC mode without padding."""

    def __init__(self, key: bytes, mode: int, iv: bytes = b"") -> None:
        chaining: Mode = ECB() if mode == MODE_ECB else CBC(iv)
        self._cipher = Cipher(AES(key), chaining)

    def encrypt(self, data: "bytes | bytearray", out: "bytearray | None" = None) -> bytes:
        """Encrypt whole blocks, into `out` when it is given."""
        encryptor = self._cipher.encryptor()
        result = encryptor.update(bytes(data)) + encryptor.finalize()
        if out is not None:
            out[:] = result
        return result
