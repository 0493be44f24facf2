"""What the services need of a certificate authority.

Not an implementation (adapters).
"""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class IssuedCertificate:
    """A certificate that was just signed."""

    pem: str
    serial: str
    expires_at_ms: int


class CertificateAuthority(Protocol):
    """The fleet's own CA."""

    @property
    def ca_pem(self) -> str:
        """The CA certificate in PEM."""

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the CA certificate in DER, hex."""

    def sign(self, content: bytes) -> bytes:
        """Sign content for gateways, which trust the CA (ECDSA with SHA-256, DER)."""

    def sign_gateway(self, csr_pem: str, gateway_name: str, now_ms: int) -> IssuedCertificate:
        """Sign a gateway's request; the name is ours, whatever the request says.

        Raises:
            InvalidError: Not a PKCS #10 request with a P-256 key and a good signature.
        """
