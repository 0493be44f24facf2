"""Labels of poles: given, taken away, listed.

Not what a label is used for (services/rollouts.py).
"""

from collections.abc import Collection

from poleward_fleet.domain.accounts import Permission, Principal
from poleward_fleet.domain.audit import AuditEntry
from poleward_fleet.domain.errors import InvalidError
from poleward_fleet.domain.labels import LabelCount, check_labels
from poleward_fleet.ports.labels import LabelStore
from poleward_fleet.services.permissions import AreaTree

MAX_POLES = 10_000


class LabelService:
    """Use cases around labels.

    Args:
        store: Where labels are.
        areas: Tree for rights.
    """

    def __init__(self, store: LabelStore, areas: AreaTree) -> None:
        self._store = store
        self._areas = areas

    async def change(
        self,
        principal: Principal,
        pole_codes: Collection[str],
        *,
        add: Collection[str] = (),
        remove: Collection[str] = (),
    ) -> None:
        """Give labels to poles and take labels away, all poles or none.

        Raises:
            InvalidError: Poles do not exist in the principal's area, or a label makes no sense.
        """
        areas = await self._areas.allowed(principal, Permission.EDIT_INVENTORY)
        check_labels(add)
        if len(pole_codes) > MAX_POLES:
            raise InvalidError.of("too_many_poles", most=MAX_POLES)
        if not pole_codes or not (add or remove):
            return
        subject = next(iter(pole_codes)) if len(pole_codes) == 1 else f"{len(pole_codes)} poles"
        changed = (("add", " ".join(add)), ("remove", " ".join(remove)))
        await self._store.change(
            pole_codes,
            areas,
            add=add,
            remove=remove,
            audit=AuditEntry(principal.name, "pole.label", subject, changed),
        )

    async def labels(self, principal: Principal) -> list[LabelCount]:
        """Return the labels in the principal's area, by name."""
        return await self._store.counts(await self._areas.allowed(principal, Permission.SEE))
