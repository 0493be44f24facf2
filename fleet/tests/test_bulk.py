"""Whole tables in and out: what is refused and why, all or nothing, again changes nothing."""

import json
import math
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet_rig import ADMIN, CITY, DISTRICT, OTHER_DISTRICT
from poleward_fleet.assembly import Fleet
from poleward_fleet.domain.accounts import Principal, Role
from poleward_fleet.domain.bulk import ImportReport, Table, plan_areas, plan_poles
from poleward_fleet.domain.errors import ConflictError, ForbiddenError, InvalidError, NotFoundError
from poleward_fleet.domain.inventory import Area, Pole
from poleward_fleet.domain.table_files import FileFormat, read_table
from poleward_fleet.services.bulk import _EXPORT_COLUMNS, ExportTable

DISTRICT_ADMIN = Principal("dan", frozenset({Role.ADMINISTRATOR}), DISTRICT)
HEAD = "code,area_code,latitude_deg,longitude_deg,lamp_nominal_w,equipment\n"
GOOD = f"{HEAD}P-1,{DISTRICT},30.25,120.16,60,lamp air\nP-2,{OTHER_DISTRICT},30.2,120.2,100,lamp\n"


async def bring_in(
    fleet: Fleet,
    text: str | bytes,
    table: Table = Table.POLES,
    *,
    who: Principal = ADMIN,
    dry_run: bool = False,
    file_format: FileFormat = FileFormat.CSV,
) -> ImportReport:
    content = text.encode() if isinstance(text, str) else text
    return await fleet.bulk.import_table(
        who, table, content, file_format=file_format, dry_run=dry_run
    )


def counts(report: ImportReport) -> tuple[int, int, int, int]:
    return report.created, report.updated, report.unchanged, len(report.faults)


async def whole(pieces: AsyncIterator[bytes]) -> bytes:
    return b"".join([piece async for piece in pieces])


async def test_rehearsal_stores_nothing_and_says_what_would_be(fleet: Fleet) -> None:
    report = await bring_in(fleet, GOOD, dry_run=True)
    assert (counts(report), report.stored) == ((2, 0, 0, 0), False)
    assert await fleet.inventory.list_poles(ADMIN) == []
    assert (await bring_in(fleet, GOOD)).stored


async def test_same_file_again_changes_nothing(fleet: Fleet) -> None:
    await bring_in(fleet, GOOD)
    before = (await fleet.audit.records(ADMIN, limit=1))[0].number
    report = await bring_in(fleet, GOOD)
    assert (counts(report), report.stored) == ((0, 0, 2, 0), False)
    assert (await fleet.audit.records(ADMIN, limit=1))[0].number == before
    report = await bring_in(fleet, GOOD.replace(",100,", ",90,"))
    assert counts(report) == (0, 1, 1, 0)
    assert (await fleet.inventory.pole(ADMIN, "P-2")).pole.lamp_nominal_w == 90


async def test_every_bad_row_is_listed_with_its_reason_and_nothing_is_stored(fleet: Fleet) -> None:
    bad = {
        f"P 3,{DISTRICT},30,120,60,lamp": "code",
        f",{DISTRICT},30,120,60,lamp": "code is missing",
        "P-4,999999999999,30,120,60,lamp": "area 999999999999 does not exist",
        f"P-5,{DISTRICT},91,120,60,lamp": "latitude_deg 91 is not between -90 and 90",
        f"P-6,{DISTRICT},30,nan,60,lamp": "longitude_deg nan is not between",
        f"P-7,{DISTRICT},30,120,sixty,lamp": "lamp_nominal_w 'sixty' is no number",
        f"P-8,{DISTRICT},30,120,60.5,lamp": "no whole number",
        f"P-9,{DISTRICT},30,120,10001,lamp": "not between 0 and 10000",
        f"P-1,{DISTRICT},30,120,60,lamp": "P-1 is in line 2, too",
        f"P-10,{DISTRICT},30,120,60,la(mp": "equipment 'la(mp'",
        f"P-11,{DISTRICT}": "latitude_deg is missing",
    }
    report = await bring_in(fleet, GOOD + "\n".join(bad) + "\n")
    assert [str(fault.place) for fault in report.faults] == [f"line {n}" for n in range(4, 15)]
    for fault, reason in zip(report.faults, bad.values(), strict=True):
        assert reason in str(fault.reason)
    assert not report.stored
    assert await fleet.inventory.list_poles(ADMIN) == []


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "first line has to name"),
        (HEAD.encode(), "no rows"),
        (b"code,name\n1,2\n", "no column area_code"),
        (b"code,code\n1,2\n", "name each column once"),
        (b'code,area_code\n"open', "line 2 is no CSV"),
        (b"\xff\xfe\x00", "neither UTF-8 nor GB 18030"),
        ((HEAD + "a,b,c,d,e,f,g\n").encode(), "line 2 has 7 fields"),
    ],
)
async def test_file_that_is_no_table_is_refused(fleet: Fleet, content: bytes, reason: str) -> None:
    with pytest.raises(InvalidError, match=reason):
        await bring_in(fleet, content)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("{", "no JSON"),
        ("[]", "FeatureCollection"),
        ('{"type": "FeatureCollection", "features": [1]}', "feature 1 has no properties"),
        (
            '{"type": "FeatureCollection", "crs": {"name": "EPSG:3857"}, "features": []}',
            "must be WGS84",
        ),
        (
            '{"type": "FeatureCollection", "features": [{"properties": {}, '
            '"geometry": {"type": "Point", "coordinates": ["x"]}}]}',
            "feature 1 has a geometry",
        ),
        ("[" * 100_000, "no JSON"),
    ],
)
async def test_file_that_is_no_geojson_is_refused(fleet: Fleet, content: str, reason: str) -> None:
    with pytest.raises(InvalidError, match=reason):
        await bring_in(fleet, content, file_format=FileFormat.GEOJSON)


async def test_csv_of_a_chinese_spreadsheet_is_read(fleet: Fleet) -> None:
    text = "code;name;parent_code\r\n330100000000;杭州市;\r\n330106000000;西湖区;330100000000\r\n"
    report = await bring_in(fleet, text.encode("gb18030"), Table.AREAS, dry_run=True)
    assert counts(report) == (0, 0, 2, 0)
    report = await bring_in(fleet, b"\xef\xbb\xbf" + text.encode(), Table.AREAS, dry_run=True)
    assert counts(report) == (0, 0, 2, 0)


async def test_geojson_points_become_poles(fleet: Fleet) -> None:
    feature = {
        "type": "Feature",
        "geometry": {"type": "Point", "coordinates": [120.16, 30.25, 7.0]},
        "properties": {
            "code": "P-1", "area_code": DISTRICT, "lamp_nominal_w": 60.0,
            "equipment": ["lamp", "sos"], "colour": "green",
        },
    }  # fmt: skip
    collection = json.dumps({"type": "FeatureCollection", "features": [feature]})
    report = await bring_in(fleet, collection, file_format=FileFormat.GEOJSON)
    assert report.ignored_columns == ("colour",)
    pole = (await fleet.inventory.pole(ADMIN, "P-1")).pole
    assert pole == Pole("P-1", DISTRICT, 30.25, 120.16, ("lamp", "sos"), 60)


async def test_areas_come_in_any_order_and_never_in_a_circle(fleet: Fleet) -> None:
    text = (
        "code,name,parent_code\n330106001001,社区,330106001000\n"
        f"330106001000,街道,{DISTRICT}\n{CITY},杭州市,\n"
    )
    assert counts(await bring_in(fleet, text, Table.AREAS)) == (2, 0, 1, 0)
    circle = f"code,name,parent_code\n{DISTRICT},西湖区,330106001001\n"
    deep = "code,name,parent_code\n330106001999,幢,330106001001\n"
    orphan = "code,name,parent_code\n330106001999,幢,123\n330106001998,幢,330199999999\n"
    assert "deeper than 4" in str((await bring_in(fleet, circle, Table.AREAS)).faults[0].reason)
    assert "deeper than 4" in str((await bring_in(fleet, deep, Table.AREAS)).faults[0].reason)
    faults = (await bring_in(fleet, orphan, Table.AREAS)).faults
    assert "12 digits" in str(faults[0].reason)
    assert "does not exist" in str(faults[1].reason)


async def test_equipment_is_replaced_pole_by_pole(fleet: Fleet) -> None:
    await bring_in(fleet, GOOD)
    text = "pole_code,equipment\nP-1,lamp\nP-1,sos\nP-1,sos\n"
    assert counts(await bring_in(fleet, text, Table.EQUIPMENT)) == (0, 1, 0, 0)
    assert (await fleet.inventory.pole(ADMIN, "P-1")).pole.equipment == ("lamp", "sos")
    assert (await fleet.inventory.pole(ADMIN, "P-2")).pole.equipment == ("lamp",)
    report = await bring_in(fleet, "pole_code,equipment\nP-3,lamp\n", Table.EQUIPMENT)
    assert str(report.faults[0].reason) == "pole P-3 does not exist"


async def test_equipment_that_a_file_does_not_mention_stays(fleet: Fleet) -> None:
    await bring_in(fleet, GOOD)
    head = "code,area_code,latitude_deg,longitude_deg,lamp_nominal_w\n"
    await bring_in(fleet, f"{head}P-1,{DISTRICT},30,120,70\nP-3,{DISTRICT},30,120,70\n")
    assert (await fleet.inventory.pole(ADMIN, "P-1")).pole.equipment == ("lamp", "air")
    assert (await fleet.inventory.pole(ADMIN, "P-3")).pole.equipment == ("lamp",)
    await bring_in(fleet, f"{HEAD}P-1,{DISTRICT},30,120,70,\n")
    assert (await fleet.inventory.pole(ADMIN, "P-1")).pole.equipment == ()


async def test_import_ends_at_ones_area(fleet: Fleet) -> None:
    await bring_in(fleet, GOOD)
    assert counts(await bring_in(fleet, GOOD, who=DISTRICT_ADMIN))[3] == 1
    theft = f"{HEAD}P-2,{DISTRICT},30,120,60,lamp\n"
    assert "taken" in str((await bring_in(fleet, theft, who=DISTRICT_ADMIN)).faults[0].reason)
    with pytest.raises(ConflictError, match="taken"):
        await fleet.inventory.import_poles(DISTRICT_ADMIN, [Pole("P-2", DISTRICT, 30, 120)])
    gear = "pole_code,equipment\nP-2,lamp\n"
    report = await bring_in(fleet, gear, Table.EQUIPMENT, who=DISTRICT_ADMIN)
    assert "taken" in str(report.faults[0].reason)
    with pytest.raises(ForbiddenError):
        await bring_in(fleet, "code,name\n1,2\n", Table.AREAS, who=DISTRICT_ADMIN)
    with pytest.raises(ForbiddenError):
        await bring_in(fleet, GOOD, who=Principal("v", frozenset({Role.VIEWER})))


async def test_import_is_recorded_with_the_digest_of_its_file(fleet: Fleet) -> None:
    await bring_in(fleet, GOOD)
    entry = (await fleet.audit.records(ADMIN, limit=1))[0].entry
    assert (entry.action, entry.subject) == ("poles.import", "2 rows")
    assert dict(entry.detail)["created"] == "2"
    assert len(dict(entry.detail)["sha256"]) == 64


@pytest.mark.parametrize("file_format", FileFormat)
async def test_what_was_exported_is_imported_unchanged(
    fleet: Fleet, file_format: FileFormat
) -> None:
    await bring_in(fleet, GOOD + f"P-3,{CITY},-30.123456789012345,1e-9,0,\n")
    for table in (Table.AREAS, Table.POLES, Table.EQUIPMENT):
        chosen = FileFormat.CSV if table is Table.EQUIPMENT else file_format
        content = await whole(
            fleet.bulk.export_table(ADMIN, ExportTable(table.value), file_format=chosen)
        )
        report = await bring_in(fleet, content, table, file_format=chosen)
        assert (report.created, report.updated, report.faults) == (0, 0, ())
        assert report.ignored_columns == ()


@pytest.mark.parametrize("table", ExportTable)
async def test_export_ends_at_ones_area_and_names_its_columns(
    fleet: Fleet, table: ExportTable
) -> None:
    await bring_in(fleet, GOOD)
    content = (await whole(fleet.bulk.export_table(DISTRICT_ADMIN, table))).decode()
    assert content.splitlines()[0] == ",".join(_EXPORT_COLUMNS[table])
    assert OTHER_DISTRICT not in content
    assert "P-2" not in content
    with pytest.raises(NotFoundError):
        await whole(fleet.bulk.export_table(DISTRICT_ADMIN, table, area_code=OTHER_DISTRICT))


async def test_table_without_places_is_no_geojson(fleet: Fleet) -> None:
    with pytest.raises(InvalidError, match="as CSV"):
        await whole(
            fleet.bulk.export_table(ADMIN, ExportTable.NODES, file_format=FileFormat.GEOJSON)
        )


@given(st.binary(max_size=300), st.sampled_from(FileFormat))
def test_any_bytes_are_a_table_or_refused(content: bytes, file_format: FileFormat) -> None:
    try:
        file = read_table(content, file_format)
    except InvalidError:
        return
    for plan in (
        plan_areas(file.rows, {}),
        plan_poles(file.rows, {}, areas={DISTRICT}),
    ):
        assert len(plan.faults) + len(plan.changes) == len(file.rows)


_TEXTS = st.dictionaries(
    st.sampled_from(HEAD.strip().split(",")),
    st.text("P-1 0.9e+,;\n\0é路", max_size=12)
    | st.floats().map(str)
    | st.sampled_from([DISTRICT, "P-1", "lamp"]),
)


@given(st.lists(_TEXTS, max_size=5))
def test_row_that_passes_is_a_pole_that_can_be_stored(rows: list[dict[str, str]]) -> None:
    collection = {
        "type": "FeatureCollection",
        "features": [{"properties": row, "geometry": None} for row in rows],
    }
    file = read_table(json.dumps(collection).encode(), FileFormat.GEOJSON)
    for pole in plan_poles(file.rows, {}, areas={DISTRICT}).changes:
        assert pole.area_code == DISTRICT
        assert math.isfinite(pole.latitude_deg + pole.longitude_deg)
        assert pole.code.isascii()


def test_areas_that_are_each_others_parents_are_refused() -> None:
    known = {"1" * 12: Area("1" * 12, "a", "2" * 12), "2" * 12: Area("2" * 12, "b", "1" * 12)}
    file = read_table(b"code,name,parent_code\n333333333333,c,111111111111\n", FileFormat.CSV)
    assert "deeper" in str(plan_areas(file.rows, known).faults[0].reason)
