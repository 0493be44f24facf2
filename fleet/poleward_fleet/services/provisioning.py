"""How nodes come to life: import from the factory, claim by the label, commissioning into a pole.

Not what happens to them later (services/node_life.py) nor which steps exist
(domain/life_cycle.py).
"""

import hmac
import secrets
from collections.abc import Sequence

from poleward_commissioning.claim_code import claim_code_hash
from poleward_fleet.domain.accounts import Permission, Principal
from poleward_fleet.domain.audit import AuditEntry
from poleward_fleet.domain.errors import ConflictError, ForbiddenError, InvalidError, NotFoundError
from poleward_fleet.domain.identity import (
    FreshKeys,
    ManufacturedNode,
    NodeIdentity,
    StationPermit,
)
from poleward_fleet.domain.inventory import PoleView
from poleward_fleet.domain.life_cycle import Step, Transition, transition
from poleward_fleet.ports.audit import AuditStore
from poleward_fleet.ports.clock import Clock
from poleward_fleet.ports.life import Claim, LifeStore
from poleward_fleet.ports.nodes import NodeStore
from poleward_fleet.services.accounts import AttemptLimit
from poleward_fleet.services.changes import ChangeBroadcast
from poleward_fleet.services.gateways import GatewayLinks
from poleward_fleet.services.inventory import InventoryService
from poleward_fleet.services.permissions import AreaTree

DEFAULT_REPORT_INTERVAL_S = 60
MAX_REPORT_INTERVAL_S = 86_400


def fresh_keys() -> FreshKeys:
    """Make operational keys from the operating system's randomness."""
    return FreshKeys(secrets.token_bytes(16), secrets.token_bytes(8))


class ProvisioningService:
    """Use cases from the factory to the pole.

    Args:
        store: Where identities are.
        lives: States and keys.
        inventory: Tells whether the principal may see a pole.
        areas: Tree in which the nearest gateway is looked for.
        audit: Where wrong claim codes are recorded.
        links: Told when a gateway's desired state changed.
        changes: Told about the pole.
        clock: For permits and the limit of attempts.
    """

    def __init__(
        self,
        store: NodeStore,
        lives: LifeStore,
        inventory: InventoryService,
        areas: AreaTree,
        audit: AuditStore,
        links: GatewayLinks,
        changes: ChangeBroadcast,
        clock: Clock,
    ) -> None:
        self._store = store
        self._lives = lives
        self._inventory = inventory
        self._areas = areas
        self._audit = audit
        self._links = links
        self._changes = changes
        self._clock = clock
        self._attempts = AttemptLimit(clock)

    async def import_nodes(
        self,
        principal: Principal,
        nodes: Sequence[ManufacturedNode],
        permit: StationPermit | None = None,
    ) -> list[int]:
        """Register flashed nodes, all or none; return their numbers in order.

        Args:
            principal: Who imports.
            nodes: From the factory.
            permit: Of the station that made them, verified by who imports; None for nodes that
                come from no station.

        Raises:
            InvalidError: A row makes no sense.
            ConflictError: A MAC is known with another secret, or comes twice; the permit is over
                or for fewer nodes.
        """
        principal.require(Permission.EDIT_INVENTORY)
        if permit is not None:
            permit.check(self._clock.now_ms())
        seen: set[str] = set()
        for node in nodes:
            node.validate()
            if node.mac in seen:
                raise ConflictError(f"node {node.mac} comes twice in one import")
            seen.add(node.mac)
        if not nodes:
            return []
        subject = nodes[0].mac if len(nodes) == 1 else f"{len(nodes)} nodes"
        detail = (("station", permit.station_name),) if permit else ()
        return await self._store.import_nodes(
            nodes, AuditEntry(principal.name, "node.import", subject, detail), permit
        )

    async def claim(
        self,
        principal: Principal,
        *,
        mac: str,
        claim_code: str,
        pole_code: str,
        gateway_name: str = "",
        report_interval_s: int = 0,
        swap: bool = False,
        sign_off: bool = False,
    ) -> int:
        """Put a node into a pole behind a gateway and make its operational keys; return its number.

        The same claim again is fine.

        Args:
            principal: Who stands at the node.
            mac: Of the node.
            claim_code: From its label.
            pole_code: Where it stands.
            gateway_name: That serves it; empty for the one before in a swap, else the nearest in
                the administrative tree.
            report_interval_s: Between its reports; 0 for the default.
            swap: Take the node that stands in the pole out of it.
            sign_off: Also commission it, for whoever checked it otherwise.

        Raises:
            ForbiddenError: Unknown node or wrong claim code (which of them is not told).
            TooManyAttemptsError: Too many wrong codes for this node.
            ConflictError: The node stands in another pole, another node stands in this one, or
                its life is over.
            NotFoundError: No such pole or gateway.
            InvalidError: The report interval is longer than a day.
        """
        if not 0 <= report_interval_s <= MAX_REPORT_INTERVAL_S:
            raise InvalidError(f"a report interval is at most {MAX_REPORT_INTERVAL_S} s")
        view = await self._inventory.pole(principal, pole_code, Permission.COMMISSION)
        if view.pole.code != pole_code:
            raise InvalidError(f"'{pole_code}' is not the code of a pole")
        identity = await self._identify(principal, mac, claim_code, pole_code)
        return await self._place(
            principal,
            identity,
            view,
            gateway_name=gateway_name,
            keys=fresh_keys(),
            report_interval_s=report_interval_s,
            swap=swap,
            sign_off=sign_off,
        )

    async def take_claim(
        self,
        principal: Principal,
        *,
        mac: str,
        pole_code: str,
        gateway_name: str,
        keys: FreshKeys,
        report_interval_s: int,
        swap: bool,
    ) -> None:
        """Put a node into a pole whose label a gateway has checked, with the keys it was given.

        Raises:
            As `claim`, but for the claim code.
        """
        view = await self._inventory.pole(principal, pole_code, Permission.COMMISSION)
        identity = await self._lives.identity(mac)
        if identity is None:
            raise NotFoundError.of("unknown_node", node=mac)
        await self._place(
            principal,
            identity,
            view,
            gateway_name=gateway_name,
            keys=keys,
            report_interval_s=report_interval_s,
            swap=swap,
        )

    async def _place(
        self,
        principal: Principal,
        identity: NodeIdentity,
        view: PoleView,
        *,
        gateway_name: str,
        keys: FreshKeys,
        report_interval_s: int,
        swap: bool,
        sign_off: bool = False,
    ) -> int:
        mac, pole_code = identity.mac, view.pole.code
        if identity.pole_code == pole_code and gateway_name in ("", identity.gateway_name):
            return identity.number
        if identity.pole_code:
            key = "stands_here" if identity.pole_code == pole_code else "stands_in"
            raise ConflictError.of(key, node=mac, pole=identity.pole_code)
        steps = [_step(Step.CLAIM, identity)]
        if sign_off:
            steps.append(transition(Step.COMMISSION, steps[0].after, name=mac, stands_in_pole=True))
        swapped = _swapped(view, swap=swap)
        if not gateway_name and swapped is not None and view.node is not None:
            gateway_name = view.node.gateway_name
        gateway_name = gateway_name or await self._nearest_gateway(view.pole.area_code)
        detail = {"gateway": gateway_name, "mac": mac, "number": str(identity.number)}
        if swapped is not None:
            detail["swapped_out"] = str(swapped[0])
        await self._lives.claim(
            Claim(
                node_number=identity.number,
                before=steps[0].before,
                after=steps[-1].after,
                pole_code=pole_code,
                gateway_name=gateway_name,
                keys=keys,
                report_interval_s=report_interval_s or DEFAULT_REPORT_INTERVAL_S,
                swapped=swapped,
                audit=AuditEntry(
                    principal.name,
                    f"node.{steps[-1].step.value}",
                    pole_code,
                    tuple(detail.items()),
                ),
            )
        )
        self._links.desired_changed([gateway_name])
        if swapped is not None and view.node is not None:
            self._links.desired_changed([view.node.gateway_name])
        self._changes.publish(pole_codes=[pole_code])
        return identity.number

    async def _identify(
        self, principal: Principal, mac: str, claim_code: str, pole_code: str
    ) -> NodeIdentity:
        """Find the node whose label somebody has read."""
        try:
            self._attempts.check(mac)
            identity = await self._lives.identity(mac)
            given = claim_code_hash(mac, claim_code)
            if identity is None or not hmac.compare_digest(identity.claim_code_hash, given):
                self._attempts.failed(mac)
                raise ForbiddenError.of("wrong_claim", node=mac)
            self._attempts.succeeded(mac)
        except ForbiddenError:
            await self._audit.append(
                AuditEntry(principal.name, "node.claim_refused", mac[:64], (("pole", pole_code),))
            )
            raise
        return identity

    async def _nearest_gateway(self, area_code: str) -> str:
        parents = {area.code: area.parent_code for area in await self._areas.all()}
        upwards = [area_code]
        while (parent := parents.get(upwards[-1], "")) and parent not in upwards:
            upwards.append(parent)
        found = await self._lives.gateway_for(upwards, self._links.connected())
        if found is None:
            raise ConflictError.of("nobody_serves", area=area_code)
        return found


def _step(step: Step, identity: NodeIdentity) -> Transition:
    return transition(
        step, identity.life_state, name=identity.mac, stands_in_pole=bool(identity.pole_code)
    )


def _swapped(view: PoleView, *, swap: bool) -> tuple[int, Transition] | None:
    """Decide what becomes of the node that stands in a pole already."""
    if view.node is None:
        return None
    if not swap:
        raise ConflictError.of("say_swapped", node=view.node.number, pole=view.pole.code)
    name = view.node.endpoint_name
    return view.node.number, transition(
        Step.SWAP_OUT, view.node.life_state, name=name, stands_in_pole=True
    )
