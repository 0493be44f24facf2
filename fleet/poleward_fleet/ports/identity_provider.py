"""What the services need to let people sign in somewhere else.

Not an implementation (adapters).
"""

from typing import Protocol

from poleward_fleet.domain.single_sign_on import ProvedIdentity


class IdentityProvider(Protocol):
    """A provider that proves who somebody is."""

    @property
    def name(self) -> str:
        """What people call it."""

    async def authorization_url(self, *, state: str, nonce: str, challenge: str) -> str:
        """Return where to send the browser.

        Raises:
            UnavailableError: The provider does not answer.
        """

    async def identity(self, *, code: str, verifier: str, nonce: str) -> ProvedIdentity:
        """Exchange the code that the browser brought back.

        Raises:
            UnauthenticatedError: The provider does not vouch for anybody; says why.
            UnavailableError: The provider does not answer.
        """
