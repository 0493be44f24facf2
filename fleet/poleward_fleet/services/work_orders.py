"""Work orders: what technicians may do at a gateway while it cannot reach the fleet.

Not the visits that come back from there (services/site_sync.py).
"""

import secrets
from collections.abc import Sequence

from poleward_commissioning.work_order import (
    OrderKeys,
    OrderNode,
    OrderPole,
    WorkOrder,
    signed_part,
)
from poleward_fleet.domain.accounts import Permission, Principal
from poleward_fleet.domain.audit import AuditEntry
from poleward_fleet.domain.errors import ConflictError, InvalidError, NotFoundError
from poleward_fleet.domain.identity import endpoint_name, operational_sender_id
from poleward_fleet.domain.inventory import LifeState, PoleView
from poleward_fleet.domain.work_orders import SignedOrder, SitePass, StockNode
from poleward_fleet.ports.certificates import CertificateAuthority
from poleward_fleet.ports.clock import Clock
from poleward_fleet.ports.gateways import GatewayStore
from poleward_fleet.ports.work_orders import WorkOrderStore
from poleward_fleet.services.accounts import AccountService
from poleward_fleet.services.gateways import GatewayLinks
from poleward_fleet.services.inventory import MAX_PAGE, InventoryService
from poleward_fleet.services.permissions import AreaTree
from poleward_fleet.services.provisioning import DEFAULT_REPORT_INTERVAL_S, fresh_keys

MAX_NODES = 200
MAX_POLES = 5000
DEFAULT_VALID_S = 24 * 3600
MAX_VALID_S = 7 * 24 * 3600


class WorkOrderService:
    """Use cases around work orders.

    Args:
        store: Where they are.
        gateways: Which there are.
        inventory: Poles of a gateway's area.
        accounts: Who is a technician there.
        areas: Tree for rights.
        authority: Signs them.
        links: Told that a gateway has a new one.
        clock: For their end.
        page_origin: Web origin of the technicians' page.
    """

    def __init__(
        self,
        store: WorkOrderStore,
        gateways: GatewayStore,
        inventory: InventoryService,
        accounts: AccountService,
        areas: AreaTree,
        authority: CertificateAuthority,
        links: GatewayLinks,
        clock: Clock,
        page_origin: str,
    ) -> None:
        self._store = store
        self._gateways = gateways
        self._inventory = inventory
        self._accounts = accounts
        self._areas = areas
        self._authority = authority
        self._links = links
        self._clock = clock
        self._page_origin = page_origin

    async def make(
        self,
        principal: Principal,
        gateway_name: str,
        macs: Sequence[str],
        technicians: Sequence[str] = (),
        *,
        valid_s: int = 0,
    ) -> WorkOrder:
        """Make the order of a gateway; it replaces the one before.

        Args:
            principal: Who may commission in the gateway's area.
            gateway_name: Where the order is good.
            macs: Nodes that may be commissioned.
            technicians: Accounts that may do so; the principal when empty.
            valid_s: Seconds until it is over; 0 for one day.

        Raises:
            ConflictError: A node is not in stock; somebody else made an order at the same moment.
            ForbiddenError: The principal or a technician may not commission there.
            InvalidError: Too many or no nodes, or too long.
            NotFoundError: No such gateway, node or account.
        """
        area_code = await self._require_gateway(principal, gateway_name)
        if not 0 < len(set(macs)) <= MAX_NODES:
            raise InvalidError(f"a work order is for 1 to {MAX_NODES} nodes")
        if valid_s > MAX_VALID_S:
            raise InvalidError(f"a work order is good for at most {MAX_VALID_S} s")
        names = list(dict.fromkeys(technicians)) or [principal.name]
        for name in names:
            technician = await self._accounts.principal_named(name)
            if technician is None:
                raise NotFoundError(f"there is no account {name}")
            await self._areas.allowed(technician, Permission.COMMISSION, area_code)
        nodes = await self._in_stock(list(dict.fromkeys(macs)))
        poles = await self._inventory.list_poles(
            principal, area_code=area_code, limit=min(MAX_POLES, MAX_PAGE)
        )
        return await self._put(
            principal,
            gateway_name,
            expires_at_ms=self._clock.now_ms() + 1000 * (valid_s or DEFAULT_VALID_S),
            technicians={name: secrets.token_bytes(32) for name in names},
            nodes=tuple(_order_node(node) for node in nodes),
            poles=tuple(_order_pole(view) for view in poles),
        )

    async def revoke(self, principal: Principal, gateway_name: str) -> None:
        """Replace the order of a gateway with one that allows nothing.

        Raises:
            NotFoundError: No such gateway, or it has no order.
        """
        await self._require_gateway(principal, gateway_name)
        if await self._store.newest_of(gateway_name) is None:
            raise NotFoundError(f"gateway {gateway_name} has no work order")
        await self._put(principal, gateway_name, expires_at_ms=self._clock.now_ms())

    async def orders(self, principal: Principal) -> list[WorkOrder]:
        """Return the orders in the principal's area that are not over, by gateway."""
        allowed = await self._areas.allowed(principal, Permission.COMMISSION)
        found = []
        for stored in await self._store.newest():
            area_code = await self._gateways.area_of(stored.order.gateway_name)
            is_allowed = allowed is None or area_code in allowed
            if is_allowed and stored.order.expires_at_ms > self._clock.now_ms():
                found.append(stored.order)
        return found

    async def passes(self, principal: Principal) -> list[SitePass]:
        """Return what the principal's device needs at each gateway with an order for them."""
        principal.require(Permission.COMMISSION)
        urls = await self._store.site_urls()
        return [
            SitePass(
                gateway_name=order.gateway_name,
                site_url=urls.get(order.gateway_name, ""),
                expires_at_ms=order.expires_at_ms,
                secret=order.technicians[principal.name],
                pole_codes=tuple(pole.code for pole in order.poles),
            )
            for stored in await self._store.newest()
            if principal.name in (order := stored.order).technicians
            and order.expires_at_ms > self._clock.now_ms()
        ]

    async def _put(
        self,
        principal: Principal,
        gateway_name: str,
        *,
        expires_at_ms: int,
        technicians: dict[str, bytes] | None = None,
        nodes: tuple[OrderNode, ...] = (),
        poles: tuple[OrderPole, ...] = (),
    ) -> WorkOrder:
        before = await self._store.newest_of(gateway_name)
        order = WorkOrder(
            gateway_name=gateway_name,
            revision=before.order.revision + 1 if before else 1,
            expires_at_ms=expires_at_ms,
            report_interval_s=DEFAULT_REPORT_INTERVAL_S,
            page_origin=self._page_origin,
            technicians=technicians or {},
            nodes=nodes,
            poles=poles,
        )
        content = order.to_bytes()
        detail = (
            ("expires_at_ms", str(expires_at_ms)),
            ("nodes", " ".join(node.mac for node in nodes)),
            ("revision", str(order.revision)),
            ("technicians", " ".join(order.technicians)),
        )
        action = "work_order.make" if nodes else "work_order.revoke"
        await self._store.put(
            order,
            SignedOrder(content, self._authority.sign(signed_part(content))),
            made_at_ms=self._clock.now_ms(),
            audit=AuditEntry(principal.name, action, gateway_name, detail),
        )
        self._links.work_order_changed(gateway_name)
        return order

    async def _require_gateway(self, principal: Principal, gateway_name: str) -> str:
        area_code = await self._gateways.area_of(gateway_name)
        allowed = await self._areas.allowed(principal, Permission.COMMISSION)
        if area_code is None or (allowed is not None and area_code not in allowed):
            raise NotFoundError(f"gateway {gateway_name} does not exist or was revoked")
        return area_code

    async def _in_stock(self, macs: Sequence[str]) -> list[StockNode]:
        found = {node.mac: node for node in await self._store.stock(macs)}
        for mac in macs:
            if mac not in found:
                raise NotFoundError(f"node {mac[:20]} is not known; import it first")
            state = found[mac].life_state
            if state is not LifeState.MANUFACTURED:
                raise ConflictError(
                    f"node {mac} is {state.value.replace('_', ' ')} and not in stock"
                )
        return list(found.values())


def _order_node(node: StockNode) -> OrderNode:
    keys = fresh_keys()
    return OrderNode(
        number=node.number,
        mac=node.mac,
        claim_code_hash=node.claim_code_hash,
        bootstrap=OrderKeys(node.bootstrap_secret, node.bootstrap_salt, bytes.fromhex(node.mac)),
        operational=OrderKeys(keys.secret, keys.salt, operational_sender_id(node.number)),
    )


def _order_pole(view: PoleView) -> OrderPole:
    pole = view.pole
    return OrderPole(
        code=pole.code,
        latitude_deg=pole.latitude_deg,
        longitude_deg=pole.longitude_deg,
        equipment=pole.equipment,
        lamp_nominal_w=pole.lamp_nominal_w,
        node_mac=view.node.endpoint_name.removeprefix(endpoint_name("")) if view.node else "",
    )
