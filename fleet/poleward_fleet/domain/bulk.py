"""What an import would do: rows become areas, poles or equipment, compared with what is there.

Not how files are written (domain/table_files.py) nor the storing (services/bulk.py).
"""

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Generic, TypeVar

from poleward_fleet.domain.errors import InvalidError
from poleward_fleet.domain.inventory import Area, Pole
from poleward_fleet.domain.table_files import Row
from poleward_fleet.domain.words import Words


class Table(Enum):
    """What can be imported."""

    AREAS = "areas"
    POLES = "poles"
    EQUIPMENT = "equipment"  # of poles that are there: one row for each piece


COLUMNS: dict[Table, tuple[str, ...]] = {
    Table.AREAS: ("code", "name", "parent_code"),
    Table.POLES: (
        "code",
        "area_code",
        "latitude_deg",
        "longitude_deg",
        "lamp_nominal_w",
        "equipment",
    ),
    Table.EQUIPMENT: ("pole_code", "equipment"),
}
OPTIONAL = frozenset({"parent_code", "equipment"})
DEFAULT_EQUIPMENT = ("lamp",)
MAX_LEVELS = 4  # city, district, street, community
_AREA_CODE = re.compile(r"[0-9]{12}")
_POLE_CODE = re.compile(r"[!-~]{1,64}")
_PIECE = re.compile(r"[\w.-]{1,32}")
_BETWEEN_PIECES = re.compile(r"[\s,;，；、]+")
_NAME_CHARACTERS = 100
_MAX_PIECES = 64
_MAX_NOMINAL_W = 10_000


@dataclass(frozen=True, slots=True)
class Fault:
    """A row that cannot be imported, and why."""

    place: Words
    reason: Words


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What an import did, or would do.

    Args:
        rows: Rows in the file.
        created: How many are new.
        updated: How many were there and differ.
        unchanged: How many were there just so.
        faults: Rows that cannot be imported; with any, nothing is.
        ignored_columns: Columns of the file that mean nothing here.
        stored: Whether it was carried out.
    """

    rows: int
    created: int
    updated: int
    unchanged: int
    faults: tuple[Fault, ...] = ()
    ignored_columns: tuple[str, ...] = ()
    stored: bool = False


T = TypeVar("T", Area, Pole)  # both have a code


@dataclass(frozen=True, slots=True)
class Plan(Generic[T]):
    """What has to be stored, and which rows stand in the way."""

    created: tuple[T, ...]
    updated: tuple[T, ...]
    unchanged: int
    faults: tuple[Fault, ...]

    @property
    def changes(self) -> tuple[T, ...]:
        """Everything that has to be stored."""
        return self.created + self.updated


def plan_areas(rows: Sequence[Row], known: Mapping[str, Area]) -> Plan[Area]:
    """Compare rows with the areas that are there."""
    wanted, faults = _gather(rows, _area)
    together = {**known, **{area.code: area for _, area in wanted}}
    sound = []
    for row, area in wanted:
        try:
            _check_ancestors(area, together)
        except InvalidError as error:
            faults.append(Fault(row.place, error.said))
        else:
            sound.append(area)
    return _plan(sound, known, faults)


def plan_poles(
    rows: Sequence[Row],
    known: Mapping[str, Pole],
    *,
    areas: Collection[str],
) -> Plan[Pole]:
    """Compare rows with the poles that are there.

    Args:
        rows: Of the file.
        known: Poles with the codes of the rows.
        areas: Codes of the areas in which poles may be imported.
    """

    def pole(row: Row) -> Pole:
        made = _pole(row, known.get(row.values.get("code", "")))
        _check_is_ours(made.code, known, areas)
        if made.area_code not in areas:
            raise InvalidError.of("no_area", area=made.area_code)
        return made

    wanted, faults = _gather(rows, pole)
    return _plan([pole for _, pole in wanted], known, faults)


def plan_equipment(
    rows: Sequence[Row], known: Mapping[str, Pole], *, areas: Collection[str]
) -> Plan[Pole]:
    """Compare rows of one piece each with what the poles carry; it is replaced pole by pole."""
    pieces: dict[str, dict[str, None]] = {}
    faults = []
    for row in rows:
        try:
            code = _needed(row, "pole_code")
            if code not in known:
                raise InvalidError.of("no_pole", pole=code)
            _check_is_ours(code, known, areas)
            pieces.setdefault(code, {}).update(dict.fromkeys(_pieces(_needed(row, "equipment"))))
        except InvalidError as error:
            faults.append(Fault(row.place, error.said))
    wanted = [replace(known[code], equipment=tuple(found)) for code, found in pieces.items()]
    return _plan(wanted, known, faults)


def equipment_rows(poles: Sequence[Pole]) -> Iterator[tuple[str, str]]:
    """Yield pole and piece, as `plan_equipment` takes them."""
    for pole in poles:
        for piece in pole.equipment:
            yield pole.code, piece


def _gather(
    rows: Sequence[Row], make: Callable[[Row], T]
) -> tuple[list[tuple[Row, T]], list[Fault]]:
    """Make a value of each row; a code counts once."""
    made: list[tuple[Row, T]] = []
    faults: list[Fault] = []
    places: dict[str, Words] = {}
    for row in rows:
        try:
            value = make(row)
            if first := places.get(value.code):
                raise InvalidError.of("twice", code=value.code, place=first)
            places[value.code] = row.place
            made.append((row, value))
        except InvalidError as error:
            faults.append(Fault(row.place, error.said))
    return made, faults


def _plan(wanted: Sequence[T], known: Mapping[str, T], faults: list[Fault]) -> Plan[T]:
    created = tuple(value for value in wanted if value.code not in known)
    updated = tuple(v for v in wanted if v.code in known and v != known[v.code])
    unchanged = len(wanted) - len(created) - len(updated)
    return Plan(created, updated, unchanged, tuple(faults))


def _area(row: Row) -> Area:
    code, name = _needed(row, "code"), _needed(row, "name")
    parent_code = row.values.get("parent_code", "")
    for column, value in (("code", code), ("parent_code", parent_code)):
        if value and not _AREA_CODE.fullmatch(value):
            raise InvalidError.of("area_digits", column=column, text=value[:40])
    if len(name) > _NAME_CHARACTERS or not name.isprintable():
        raise InvalidError.of("area_name", most=_NAME_CHARACTERS)
    return Area(code, name, parent_code)


def _check_ancestors(area: Area, areas: Mapping[str, Area]) -> None:
    above, levels = area.parent_code, 1
    while above:
        if above not in areas:
            raise InvalidError.of("no_parent", area=above)
        levels += 1
        if levels > MAX_LEVELS:
            raise InvalidError.of("too_deep", area=area.code, most=MAX_LEVELS)
        above = areas[above].parent_code


def _pole(row: Row, before: Pole | None) -> Pole:
    code, area_code = _needed(row, "code"), _needed(row, "area_code")
    if not _POLE_CODE.fullmatch(code):
        raise InvalidError.of("pole_code")
    if "equipment" in row.values:
        equipment = _pieces(row.values["equipment"])
    else:
        equipment = before.equipment if before else DEFAULT_EQUIPMENT
    return Pole(
        code=code,
        area_code=area_code,
        latitude_deg=_number(row, "latitude_deg", -90, 90),
        longitude_deg=_number(row, "longitude_deg", -180, 180),
        lamp_nominal_w=_watts(row),
        equipment=equipment,
    )


def _check_is_ours(code: str, known: Mapping[str, Pole], areas: Collection[str]) -> None:
    if code in known and known[code].area_code not in areas:
        raise InvalidError.of("code_taken", pole=code)


def _needed(row: Row, column: str) -> str:
    value = row.values.get(column, "")
    if not value:
        raise InvalidError.of("no_value", column=column)
    return value


def _number(row: Row, column: str, lowest: float, highest: float) -> float:
    text = _needed(row, column)
    try:
        value = float(text)
    except ValueError as error:
        raise InvalidError.of("not_number", column=column, text=text[:40]) from error
    if not lowest <= value <= highest:  # also false for a NaN
        raise InvalidError.of(
            "not_between", column=column, text=text[:40], least=f"{lowest:g}", most=f"{highest:g}"
        )
    return value


def _watts(row: Row) -> int:
    value = _number(row, "lamp_nominal_w", 0, _MAX_NOMINAL_W)
    if value != int(value):
        raise InvalidError.of("not_whole", column="lamp_nominal_w", text=f"{value:g}")
    return int(value)


def _pieces(text: str) -> tuple[str, ...]:
    pieces = tuple(dict.fromkeys(piece for piece in _BETWEEN_PIECES.split(text) if piece))
    if len(pieces) > _MAX_PIECES:
        raise InvalidError.of("too_many_pieces", most=_MAX_PIECES)
    for piece in pieces:
        if not _PIECE.fullmatch(piece):
            raise InvalidError.of("bad_piece", text=piece[:40])
    return pieces
