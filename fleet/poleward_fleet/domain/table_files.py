"""Tables as people exchange them: CSV and GeoJSON, read into rows of texts and written from them.

Not what the columns mean (domain/bulk.py).
"""

import csv
import io
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from poleward_fleet.domain.errors import InvalidError
from poleward_fleet.domain.words import Words

MAX_ROWS = 200_000
LATITUDE, LONGITUDE = "latitude_deg", "longitude_deg"
_SEPARATORS = ",;\t"
# Coordinate reference systems that are WGS84 longitude and latitude for our purposes.
_WGS84 = ("CRS84", "EPSG::4326", "EPSG:4326", "EPSG::4490", "EPSG:4490")


class FileFormat(Enum):
    """How a table is written down."""

    CSV = "csv"
    GEOJSON = "geojson"  # RFC 7946


@dataclass(frozen=True, slots=True)
class Row:
    """One row.

    Args:
        place: Where it stands, e.g. "line 7".
        values: Texts by column, stripped; columns that are not given here are left out.
    """

    place: Words
    values: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class TableFile:
    """A table as read.

    Args:
        columns: Names of the columns.
        rows: The rows.
    """

    columns: tuple[str, ...]
    rows: tuple[Row, ...]


def read_table(content: bytes, file_format: FileFormat) -> TableFile:
    """Read a table.

    - CSV (RFC 4180): the first line names the columns; fields are separated by comma, semicolon or
      tab; UTF-8 or, as spreadsheets in China write it, GB 18030.
    - GeoJSON: a FeatureCollection whose properties are the columns; a Point is longitude and
      latitude.

    Raises:
        InvalidError: It is no table, or has too many rows; says where.
    """
    rows = _csv_rows(content) if file_format is FileFormat.CSV else _geojson_rows(content)
    columns: dict[str, None] = {}
    kept: list[Row] = []
    for place, fields in rows:
        columns.update(dict.fromkeys(fields))
        values = {key: value.strip() for key, value in fields.items()}
        if any(values.values()):
            kept.append(Row(place, values))
        if len(kept) > MAX_ROWS:
            raise InvalidError.of("file_rows", most=f"{MAX_ROWS:,}")
    return TableFile(tuple(columns), tuple(kept))


def write_csv(columns: Sequence[str], rows: Iterable[Sequence[object]], *, head: bool) -> bytes:
    """Write rows as CSV, under a line with the columns if asked for."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    if head:
        writer.writerow(columns)
    writer.writerows(rows)
    return text.getvalue().encode()


def write_features(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> list[bytes]:
    """Write rows as GeoJSON features; longitude and latitude become a Point, else there is none."""
    features = []
    for row in rows:
        values = dict(zip(columns, row, strict=True))
        geometry = None
        if LONGITUDE in values:
            place = [values.pop(LONGITUDE), values.pop(LATITUDE)]
            geometry = {"type": "Point", "coordinates": place}
        feature = {"type": "Feature", "geometry": geometry, "properties": values}
        features.append(json.dumps(feature, ensure_ascii=False).encode())
    return features


def _csv_rows(content: bytes) -> Iterator[tuple[Words, dict[str, str]]]:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        try:
            text = content.decode("gb18030")
        except UnicodeDecodeError as error:
            raise InvalidError.of("not_text") from error
    first = text.split("\n", 1)[0]
    separator = max(_SEPARATORS, key=first.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    try:
        columns = [name.strip() for name in next(reader, [])]
        if not any(columns) or len(set(columns)) != len(columns):
            raise InvalidError.of("head_line")
        line = reader.line_num
        for fields in reader:
            place, line = Words.of("line", number=line + 1), reader.line_num
            if len(fields) > len(columns) and any(fields[len(columns) :]):
                raise InvalidError.of(
                    "too_many_fields", place=place, fields=len(fields), columns=len(columns)
                )
            yield place, dict(zip(columns, fields, strict=False))
    except csv.Error as error:
        place = Words.of("line", number=reader.line_num)
        raise InvalidError.of("not_csv", place=place, told=str(error)) from error


def _geojson_rows(content: bytes) -> Iterator[tuple[Words, dict[str, str]]]:
    try:
        collection = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise InvalidError.of("not_json", told=str(error)) from error
    features = collection.get("features") if isinstance(collection, dict) else None
    if not isinstance(features, list) or collection.get("type") != "FeatureCollection":
        raise InvalidError.of("not_features")
    # RFC 7946, 4: always WGS84; files after the older draft may name another system.
    system = str(collection.get("crs") or "CRS84")
    if not any(name in system for name in _WGS84):
        raise InvalidError.of("not_wgs84", system=system[:100])
    for number, feature in enumerate(features, 1):
        place = Words.of("feature", number=number)
        properties = feature.get("properties") if isinstance(feature, dict) else None
        if not isinstance(properties, dict):
            raise InvalidError.of("no_properties", place=place)
        values = {str(key): _text(value) for key, value in properties.items()}
        yield place, values | _position(feature.get("geometry"), place)


def _position(geometry: Any, place: Words) -> dict[str, str]:
    if geometry is None:
        return {}
    try:
        kind, coordinates = geometry["type"], geometry["coordinates"]
        # RFC 7946, 3.1.1: longitude comes first; what follows latitude is altitude.
        if kind != "Point":
            return {}
        return {LONGITUDE: repr(float(coordinates[0])), LATITUDE: repr(float(coordinates[1]))}
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise InvalidError.of("bad_geometry", place=place) from error


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, list):
        return " ".join(_text(one) for one in value)
    if isinstance(value, float) and math.isfinite(value) and value == int(value):
        return str(int(value))
    return str(value)
