"""Commands about the audit record: `poleward audit verify|export`.

It is written by the fleet with each change.
"""

import csv
import json as json_module
import sys
from collections.abc import Iterator
from dataclasses import asdict
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, TextIO

import typer

from poleward_tools.cli.options import FleetOption, JsonOption, TokenOption, open_client
from poleward_tools.cli.output import print_json, progress, results
from poleward_tools.client.audit import AuditCheck, AuditRecord
from poleward_tools.exit_codes import USAGE, CommandError

app = typer.Typer(no_args_is_help=True, help="Who changed what.")

_COLUMNS = ("number", "at_ms", "at", "actor", "action", "subject", "detail", "digest")


class Format(StrEnum):
    """How the record is written down."""

    JSONL = "jsonl"
    CSV = "csv"


@app.command("verify")
def verify(
    *,
    noted: Annotated[
        str, typer.Option(help="NUMBER:DIGEST of a newest record that was noted earlier.")
    ] = "",
    file: Annotated[
        Path | None, typer.Option(help="Verify this whole export (jsonl) instead of the fleet.")
    ] = None,
    fleet: FleetOption = None,
    token: TokenOption = None,
    json: JsonOption = False,
) -> None:
    """Walk the chain of records; exit code 1 when one was altered or removed.

    Note the NUMBER:DIGEST that is printed, elsewhere: with it you can tell later that nothing was
    cut off the end.

    Example: `poleward audit verify --noted 4711:9f86d081884c7d65…`
    """
    number, digest = _noted(noted)
    if file is not None:
        check = _verify_file(file, number, digest)
    else:
        with open_client(fleet, token) as client:
            check = client.audit.verify(number, digest)
    newest = f"{check.records}:{check.newest_digest.hex()}"
    if json:
        print_json({**asdict(check), "newest": newest})
    else:
        results.print(f"{check.records} records. Newest: {newest}", markup=False)
    if check.broken_number:
        raise CommandError(f"Record {check.broken_number} was altered, or one before it removed.")
    if not check.noted_holds:
        raise CommandError(f"Record {number} is not the one that was noted.")


@app.command("export")
def export(
    out: Annotated[Path | None, typer.Argument(help="File to write; else standard output.")] = None,
    *,
    form: Annotated[Format, typer.Option("--format", help="One JSON a line, or CSV.")] = (
        Format.JSONL
    ),
    actor: Annotated[str, typer.Option(help="Only what this account did.")] = "",
    action: Annotated[str, typer.Option(help="Only this, e.g. rollout or rollout.create.")] = "",
    subject: Annotated[str, typer.Option(help="Only where the subject holds this.")] = "",
    since: Annotated[str, typer.Option(help="Not before, e.g. 2026-11-01 or …T08:00.")] = "",
    until: Annotated[str, typer.Option(help="Before this moment.")] = "",
    fleet: FleetOption = None,
    token: TokenOption = None,
    json: JsonOption = False,
) -> None:
    """Write records, oldest first, as they come; times without a zone are local.

    With `--json` and a file, one object says how many records it holds.

    Example: `poleward audit export november.csv --format csv --since 2026-11-01`
    """
    with open_client(fleet, token) as client:
        records = client.audit.export(
            actor=actor,
            action=action,
            subject=subject,
            from_ms=_moment_ms(since),
            to_ms=_moment_ms(until),
        )
        if out is None:
            _write(records, sys.stdout, form)
            return
        try:
            with out.open("w", encoding="utf-8", newline="") as file:
                count = _write(records, file, form)
        except OSError as error:
            raise CommandError(f"{out} cannot be written: {error}.", USAGE) from error
    if json:
        print_json({"file": str(out), "records": count})
    else:
        progress.print(f"{count} records in {out}.", markup=False)


def _write(records: Iterator[AuditRecord], file: TextIO, form: Format) -> int:
    written = 0
    table = csv.DictWriter(file, _COLUMNS, lineterminator="\n")
    if form is Format.CSV:
        table.writeheader()
    for record in records:
        at = datetime.fromtimestamp(record.at_ms / 1000).astimezone().isoformat("T", "milliseconds")
        values = {**asdict(record), "at": at, "digest": record.digest.hex()}
        if form is Format.CSV:
            detail = json_module.dumps(record.detail, ensure_ascii=False, sort_keys=True)
            table.writerow({**values, "detail": detail})
        else:
            file.write(json_module.dumps(values, ensure_ascii=False) + "\n")
        written += 1
    return written


def _verify_file(file: Path, number: int, digest: bytes) -> AuditCheck:
    from poleward_fleet.domain import audit

    records: list[audit.AuditRecord] = []
    try:
        for line in file.read_text(encoding="utf-8").splitlines():
            found = json_module.loads(line)
            detail = tuple(sorted((str(k), str(v)) for k, v in found["detail"].items()))
            entry = audit.AuditEntry(found["actor"], found["action"], found["subject"], detail)
            records.append(
                audit.AuditRecord(
                    int(found["number"]), int(found["at_ms"]), entry, bytes.fromhex(found["digest"])
                )
            )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CommandError(f"{file} is no export of the audit record: {error}.", USAGE) from error
    return AuditCheck(
        records=len(records),
        newest_digest=records[-1].digest if records else audit.GENESIS,
        broken_number=audit.first_broken(records) or 0,
        noted_holds=number == 0 or any((r.number, r.digest) == (number, digest) for r in records),
    )


def _noted(text: str) -> tuple[int, bytes]:
    if not text:
        return 0, b""
    number, _, digest = text.partition(":")
    try:
        noted = int(number), bytes.fromhex(digest)
    except ValueError:
        noted = (0, b"")
    if noted[0] < 1 or len(noted[1]) != 32:
        raise CommandError("--noted takes NUMBER:DIGEST as `poleward audit verify` prints.", USAGE)
    return noted


def _moment_ms(text: str) -> int:
    if not text:
        return 0
    try:
        return int(datetime.fromisoformat(text).timestamp() * 1000)
    except ValueError as error:
        raise CommandError(f"'{text}' is no moment like 2026-11-01T08:00.", USAGE) from error
