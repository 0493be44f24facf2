"""How gateways get, renew and lose their certificates.

Not the CA's keys (ports.CertificateAuthority).
"""

import secrets

from poleward_fleet.domain.accounts import Permission, Principal
from poleward_fleet.domain.audit import AuditEntry
from poleward_fleet.domain.errors import InvalidError, NotFoundError
from poleward_fleet.domain.gateway_link import GatewayCertificate
from poleward_fleet.domain.identity import check_gateway_name
from poleward_fleet.domain.life_cycle import WORKING, Step
from poleward_fleet.ports.certificates import CertificateAuthority, IssuedCertificate
from poleward_fleet.ports.clock import Clock
from poleward_fleet.ports.gateways import GatewayStore
from poleward_fleet.services.accounts import secret_of, token_hash
from poleward_fleet.services.gateways import GatewayLinks
from poleward_fleet.services.node_life import MAX_NODES, NodeLifeService
from poleward_fleet.services.permissions import AreaTree

DEFAULT_VALID_S = 24 * 3600
MAX_VALID_S = 30 * 24 * 3600


class EnrollmentService:
    """Use cases around enrolment.

    Args:
        store: Where tokens and gateways are.
        authority: Signs certificates.
        areas: Tree for rights.
        links: Open streams, which a revocation ends.
        lives: Moves the nodes of a gateway that is replaced.
        clock: For expiry.
    """

    def __init__(
        self,
        store: GatewayStore,
        authority: CertificateAuthority,
        areas: AreaTree,
        links: GatewayLinks,
        lives: NodeLifeService,
        clock: Clock,
    ) -> None:
        self._store = store
        self._authority = authority
        self._areas = areas
        self._links = links
        self._lives = lives
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
        return name, await self._sign(name, csr_pem, renews=False)

    async def renew(self, certificate: GatewayCertificate, csr_pem: str) -> IssuedCertificate:
        """Give a gateway that proved its name a newer certificate.

        Raises:
            UnauthenticatedError: Its present one was revoked or replaced.
        """
        await self._links.require_current(certificate)
        return await self._sign(certificate.name, csr_pem, renews=True)

    async def revoke(self, principal: Principal, gateway_name: str, *, reason: str = "") -> None:
        """Make a gateway's certificates worthless and end its stream at once.

        Its nodes run alone until they are moved, or the gateway is enrolled again.

        Raises:
            NotFoundError: No such gateway, or not in the principal's area.
        """
        await self._require_gateway(principal, gateway_name)
        await self._store.revoke(
            gateway_name,
            self._clock.now_ms(),
            AuditEntry(principal.name, "gateway.revoke", gateway_name, (("reason", reason),)),
        )
        self._links.end(gateway_name)

    async def replace(
        self, principal: Principal, gateway_name: str, successor: str, *, reason: str = ""
    ) -> int:
        """Revoke a gateway and have another serve its nodes, with fresh keys; return how many.

        Doing it again goes on where it was interrupted.

        Raises:
            NotFoundError: One of them does not exist, or not in the principal's area.
            InvalidError: Both are the same.
        """
        if gateway_name == successor:
            raise InvalidError("a gateway cannot replace itself; enrol it again instead")
        await self._require_gateway(principal, successor)
        nodes = await self._store.nodes_of(gateway_name)
        if await self._store.area_of(gateway_name) is not None:
            await self.revoke(principal, gateway_name, reason=reason)
        moving = [str(number) for number, state in nodes if state in WORKING]
        for start in range(0, len(moving), MAX_NODES):
            await self._lives.take_step(
                principal,
                Step.MOVE,
                moving[start : start + MAX_NODES],
                gateway_name=successor,
                reason=f"gateway {gateway_name} was replaced",
            )
        await self._store.reassign_quarantined(gateway_name, successor)
        return len(moving)

    async def _require_gateway(self, principal: Principal, gateway_name: str) -> None:
        allowed = await self._areas.allowed(principal, Permission.ENROLL_GATEWAYS)
        area_code = await self._store.area_of(gateway_name)
        if area_code is None or (allowed is not None and area_code not in allowed):
            raise NotFoundError(f"gateway {gateway_name} does not exist or was revoked")

    async def _sign(self, name: str, csr_pem: str, *, renews: bool) -> IssuedCertificate:
        action = "gateway.renewed" if renews else "gateway.enrolled"
        certificate = self._authority.sign_gateway(csr_pem, name, self._clock.now_ms())
        await self._store.record_certificate(
            name,
            serial=certificate.serial,
            expires_at_ms=certificate.expires_at_ms,
            renews=renews,
            audit=AuditEntry(name, action, name, (("serial", certificate.serial),)),
        )
        return certificate
