"""What is wrong with a table that somebody imports or asks for, in English.

By key; {values} are filled in. Not their translation (adapters/web/texts/table_words.py).
"""

TABLE_WORDS: dict[str, str] = {
    # Where.
    "line": "line {number}",
    "feature": "feature {number}",
    # Files.
    "choose_file": "choose a file first",
    "choose_table": "choose what the file holds",
    "no_table": "there is no table {text}",
    "no_places": "{table} have no places; export them as CSV",
    "areas_everywhere": "areas can be edited only by somebody who may act everywhere",
    "file_size": "the file is larger than {most} MiB; split it",
    "file_rows": "the file has more than {most} rows; split it",
    "no_rows": "the file has no rows",
    "no_column": "the file has no column {missing}; {table} have the columns {columns}",
    "not_text": "the file is neither UTF-8 nor GB 18030 text",
    "head_line": "the first line has to name each column once",
    "too_many_fields": "{place} has {fields} fields, the first line only {columns}",
    "not_csv": "{place} is no CSV: {told}",
    "not_json": "the file is no JSON: {told}",
    "not_features": "the file is no GeoJSON FeatureCollection",
    "not_wgs84": "coordinates must be WGS84 longitude and latitude, not {system}",
    "no_properties": "{place} has no properties",
    "bad_geometry": "{place} has a geometry that cannot be read",
    # Rows.
    "no_value": "{column} is missing",
    "not_number": "{column} '{text}' is no number",
    "not_between": "{column} {text} is not between {least} and {most}",
    "not_whole": "{column} {text} is no whole number",
    "twice": "{code} is in {place}, too",
    "area_digits": "{column} '{text}' has not 12 digits",
    "area_name": "name has more than {most} printable characters",
    "no_parent": "parent {area} does not exist, here or in the file",
    "too_deep": "area {area} would be deeper than {most} levels",
    "pole_code": "code has not 1 to 64 printable ASCII characters without spaces",
    "too_many_pieces": "a pole carries at most {most} pieces of equipment",
    "bad_piece": "equipment '{text}' is no word of letters, digits, _ . -",
}
