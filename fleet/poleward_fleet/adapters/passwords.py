"""Argon2id hashes of passwords.

Not where they are stored. Hashing runs in threads, two at a time: each takes 64 MiB and some 50 ms.
"""

import asyncio

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

_AT_ONCE = 2


class Argon2Hasher:
    """PasswordHasher with argon2-cffi's default parameters (RFC 9106, low-memory option)."""

    def __init__(self) -> None:
        self._hasher = PasswordHasher()
        self._room = asyncio.Semaphore(_AT_ONCE)

    async def hash(self, secret: str) -> str:
        """Return a PHC string."""
        async with self._room:
            return await asyncio.to_thread(self._hasher.hash, secret)

    async def verify(self, phc: str, secret: str) -> bool:
        """Tell whether the secret belongs to the hash."""
        async with self._room:
            return await asyncio.to_thread(self._verify, phc, secret)

    def _verify(self, phc: str, secret: str) -> bool:
        try:
            return self._hasher.verify(phc, secret)
        except (VerificationError, InvalidHashError):
            return False
