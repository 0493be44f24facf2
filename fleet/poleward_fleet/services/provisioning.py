"""How nodes come to life: import from the factory, commissioning into a pole.

Not the life cycle's states (domain/inventory.py).
"""

import hmac
import secrets
from collections.abc import Sequence

from poleward_fleet.domain.accounts import Permission, Principal
from poleward_fleet.domain.audit import AuditEntry
from poleward_fleet.domain.errors import ConflictError, ForbiddenError, InvalidError
from poleward_fleet.domain.identity import ManufacturedNode, claim_code_hash
from poleward_fleet.ports.clock import Clock
from poleward_fleet.ports.nodes import NodeStore
from poleward_fleet.services.accounts import AttemptLimit
from poleward_fleet.services.changes import ChangeBroadcast
from poleward_fleet.services.gateways import GatewayLinks
from poleward_fleet.services.inventory import InventoryService

DEFAULT_REPORT_INTERVAL_S = 60
MAX_REPORT_INTERVAL_S = 86_400
_OVER = frozenset({"swapped_out", "lost", "decommissioned", "quarantined"})


class ProvisioningService:
    """Use cases around identities of nodes.

    Args:
        store: Where identities are.
        inventory: Tells whether the principal may see a pole.
        links: Told when a gateway's desired state changed.
        changes: Told about the pole.
        clock: For the limit of attempts.
    """

    def __init__(
        self,
        store: NodeStore,
        inventory: InventoryService,
        links: GatewayLinks,
        changes: ChangeBroadcast,
        clock: Clock,
    ) -> None:
        self._store = store
        self._inventory = inventory
        self._links = links
        self._changes = changes
        self._attempts = AttemptLimit(clock)

    async def import_nodes(
        self, principal: Principal, nodes: Sequence[ManufacturedNode]
    ) -> list[int]:
        """Register flashed nodes, all or none; return their numbers in order.

        Raises:
            InvalidError: A row makes no sense.
            ConflictError: A MAC is known with another secret, or comes twice.
        """
        principal.require(Permission.EDIT_INVENTORY)
        seen: set[str] = set()
        for node in nodes:
            node.validate()
            if node.mac in seen:
                raise ConflictError(f"node {node.mac} comes twice in one import")
            seen.add(node.mac)
        if not nodes:
            return []
        subject = nodes[0].mac if len(nodes) == 1 else f"{len(nodes)} nodes"
        return await self._store.import_nodes(
            nodes, AuditEntry(principal.name, "node.import", subject)
        )

    async def commission(
        self,
        principal: Principal,
        *,
        mac: str,
        claim_code: str,
        pole_code: str,
        gateway_name: str,
        report_interval_s: int = 0,
    ) -> int:
        """Put a node into a pole behind a gateway and make its operational keys; return its number.

        Raises:
            ForbiddenError: Unknown node or wrong claim code (which of them is not told).
            TooManyAttemptsError: Too many wrong codes for this node.
            ConflictError: The node stands in another pole, or its life is over.
            NotFoundError: No such pole or gateway.
            InvalidError: The report interval is longer than a day.
        """
        if not 0 <= report_interval_s <= MAX_REPORT_INTERVAL_S:
            raise InvalidError(f"a report interval is at most {MAX_REPORT_INTERVAL_S} s")
        pole = (await self._inventory.pole(principal, pole_code, Permission.COMMISSION)).pole
        if pole.code != pole_code:
            raise InvalidError(f"'{pole_code}' is not the code of a pole")
        self._attempts.check(mac)
        identity = await self._store.identity(mac)
        given = claim_code_hash(mac, claim_code)
        if identity is None or not hmac.compare_digest(identity.claim_code_hash, given):
            self._attempts.failed(mac)
            raise ForbiddenError(
                f"node {mac} is not known or the claim code is not the one on its label"
            )
        self._attempts.succeeded(mac)
        if identity.life_state in _OVER:
            raise ConflictError(f"node {mac} is {identity.life_state.replace('_', ' ')}")
        if identity.pole_code == pole_code and identity.gateway_name == gateway_name:
            return identity.number
        if identity.pole_code and identity.pole_code != pole_code:
            raise ConflictError(
                f"node {mac} stands in pole {identity.pole_code}; take it out there first"
            )
        await self._store.commission(
            identity.number,
            pole_code=pole_code,
            gateway_name=gateway_name,
            operational_secret=secrets.token_bytes(16),
            operational_salt=secrets.token_bytes(8),
            report_interval_s=report_interval_s or DEFAULT_REPORT_INTERVAL_S,
            audit=AuditEntry(
                principal.name,
                "node.commission",
                pole_code,
                (("gateway", gateway_name), ("mac", mac), ("number", str(identity.number))),
            ),
        )
        self._links.desired_changed(None)
        self._changes.publish(pole_codes=[pole_code])
        return identity.number
