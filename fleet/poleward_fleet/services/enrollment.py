"""How gateways get and renew their certificates.

Not the CA's keys (ports.CertificateAuthority).
"""

import secrets

from poleward_fleet.domain.accounts import Permission, Principal
from poleward_fleet.domain.audit import AuditEntry
from poleward_fleet.domain.errors import InvalidError
from poleward_fleet.domain.identity import check_gateway_name
from poleward_fleet.ports.certificates import CertificateAuthority, IssuedCertificate
from poleward_fleet.ports.clock import Clock
from poleward_fleet.ports.gateways import GatewayStore
from poleward_fleet.services.accounts import secret_of, token_hash
from poleward_fleet.services.permissions import AreaTree

DEFAULT_VALID_S = 24 * 3600
MAX_VALID_S = 30 * 24 * 3600


class EnrollmentService:
    """Use cases around enrolment.

    Args:
        store: Where tokens and gateways are.
        authority: Signs certificates.
        areas: Tree for rights.
        clock: For expiry.
    """

    def __init__(
        self, store: GatewayStore, authority: CertificateAuthority, areas: AreaTree, clock: Clock
    ) -> None:
        self._store = store
        self._authority = authority
        self._areas = areas
        self._clock = clock

    async def create_token(
        self, principal: Principal, *, gateway_name: str, area_code: str, valid_s: int
    ) -> tuple[str, int]:
        """Make a one-time token for a gateway; return it and when it expires, in Unix ms.

        Raises:
            InvalidError: The name or the validity makes no sense.
            NotFoundError: No such area.
        """
        await self._areas.allowed(principal, Permission.ENROLL_GATEWAYS, area_code)
        check_gateway_name(gateway_name)
        if valid_s > MAX_VALID_S:
            raise InvalidError(f"an enrolment token is valid for at most {MAX_VALID_S} s")
        secret = secrets.token_urlsafe(32)
        expires_at_ms = self._clock.now_ms() + 1000 * (valid_s or DEFAULT_VALID_S)
        await self._store.put_enrollment_token(
            token_hash(secret),
            gateway_name=gateway_name,
            area_code=area_code,
            expires_at_ms=expires_at_ms,
            audit=AuditEntry(
                principal.name, "gateway.enrollment_token", gateway_name, (("area", area_code),)
            ),
        )
        return f"{secret}.{self._authority.fingerprint[:32]}", expires_at_ms

    async def enroll(self, token: str, csr_pem: str) -> tuple[str, IssuedCertificate]:
        """Exchange a one-time token and a request for a certificate; return name and certificate.

        Raises:
            UnauthenticatedError: The token is unknown, used or expired.
            InvalidError: The request is no good; the token stays usable.
        """
        now_ms = self._clock.now_ms()
        # Signed once before the token is used up, so that a bad request does not cost it.
        self._authority.sign_gateway(csr_pem, "unnamed", now_ms)
        name = await self._store.redeem(token_hash(secret_of(token)), now_ms)
        return name, await self._sign(name, csr_pem, "gateway.enrolled")

    async def renew(self, gateway_name: str, csr_pem: str) -> IssuedCertificate:
        """Give a gateway that proved its name a newer certificate."""
        return await self._sign(gateway_name, csr_pem, "gateway.renewed")

    async def _sign(self, name: str, csr_pem: str, action: str) -> IssuedCertificate:
        certificate = self._authority.sign_gateway(csr_pem, name, self._clock.now_ms())
        await self._store.record_certificate(
            name,
            serial=certificate.serial,
            expires_at_ms=certificate.expires_at_ms,
            audit=AuditEntry(name, action, name, (("serial", certificate.serial),)),
        )
        return certificate
