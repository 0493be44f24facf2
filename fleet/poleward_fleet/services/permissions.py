"""Which areas a principal may act in.

Not roles: those are in domain/accounts.py.
"""

from poleward_fleet.domain.accounts import Permission, Principal
from poleward_fleet.domain.errors import ForbiddenError, NotFoundError
from poleward_fleet.domain.inventory import Area
from poleward_fleet.ports.areas import AllowedAreas
from poleward_fleet.ports.inventory import InventoryStore


class AreaTree:
    """The administrative tree, kept in memory and read again after a change.

    Args:
        store: Where the areas are.
    """

    def __init__(self, store: InventoryStore) -> None:
        self._store = store
        self._areas: list[Area] | None = None
        self._children: dict[str, list[str]] = {}

    def forget(self) -> None:
        """Read the areas again at the next question."""
        self._areas = None

    async def all(self) -> list[Area]:
        """Return every area by code."""
        if self._areas is None:
            areas = await self._store.areas()
            children: dict[str, list[str]] = {}
            for area in areas:
                children.setdefault(area.parent_code, []).append(area.code)
            self._areas, self._children = areas, children
        return self._areas

    async def subtree(self, code: str) -> frozenset[str]:
        """Return a code and all codes below it.

        Raises:
            NotFoundError: There is no such area.
        """
        areas = await self.all()
        if not any(area.code == code for area in areas):
            raise NotFoundError.of("no_area", area=code)
        found = {code}
        waiting = [code]
        while waiting:
            for child in self._children.get(waiting.pop(), ()):
                if child not in found:
                    found.add(child)
                    waiting.append(child)
        return frozenset(found)

    async def require(self, principal: Principal, permission: Permission, area_code: str) -> None:
        """Insist that a principal may do something in an area, or everywhere when none is named.

        Raises:
            ForbiddenError: No role carries the permission, or it needs somebody for everywhere.
            NotFoundError: The area does not exist, or the principal may not know of it.
        """
        allowed = await self.allowed(principal, permission, area_code)
        if not area_code and allowed is not None:
            raise ForbiddenError.of("only_in", person=principal.name, area=principal.area_code)

    async def allowed(
        self, principal: Principal, permission: Permission, area_code: str = ""
    ) -> AllowedAreas:
        """Return the areas in which a principal may do something, within an area if one is named.

        Raises:
            ForbiddenError: No role carries the permission.
            NotFoundError: The named area does not exist, or the principal may not know of it.
        """
        principal.require(permission)
        own = await self.subtree(principal.area_code) if principal.area_code else None
        if not area_code:
            return own
        wanted = await self.subtree(area_code)
        if own is None:
            return wanted
        if area_code not in own:
            raise NotFoundError.of("no_area", area=area_code)
        return wanted & own
