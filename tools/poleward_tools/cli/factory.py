"""Commands of the factory: `poleward factory key|import-key|permit|export|import|label|harden`.

Boards are flashed with `poleward flash`.
"""

import os
import shlex
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from poleward_tools.cli.options import FleetOption, JsonOption, TokenOption, open_client
from poleward_tools.cli.output import print_json, progress, results
from poleward_tools.cli.production_options import ChipOption, FirmwareOption, explained
from poleward_tools.client.views import StationPermit
from poleward_tools.exit_codes import FAILED, USAGE, CommandError
from poleward_tools.flash_image.firmware_files import load_firmware
from poleward_tools.flashing import batch as batches
from poleward_tools.flashing import hardening
from poleward_tools.flashing.fuse_plan import Step
from poleward_tools.flashing.label import LabelError, print_label, write_label
from poleward_tools.flashing.station import Station
from poleward_tools.releases import keys

_DAY_S = 86_400
_MAX_QUOTA = 1_000_000_000  # the fleet counts with 32 bits
StationArgument = Annotated[Path, typer.Argument(help="Folder of the station.")]
app = typer.Typer(no_args_is_help=True, help="From the flashing station to the fleet.")


@app.command("key")
def key(station: StationArgument, *, json: JsonOption = False) -> None:
    """Show the public key of a station, made at the first use; permits are made for it.

    Example: `poleward factory key bench1`
    """
    with explained(), Station.open(station) as opened:
        public_key = opened.key().public_key().public_bytes_raw()
    path = station / "station.pem.pub"
    if json:
        print_json({"file": str(path), "public_key": public_key})
    else:
        results.print(f"{public_key.hex()} in {path}; permit it with: poleward factory permit")


@app.command("import-key")
def import_key(
    path: Annotated[Path, typer.Argument(help="File to write; the public half goes to FILE.pub.")],
    *,
    json: JsonOption = False,
) -> None:
    """Make the key pair of a fleet for which stations seal their batches.

    The private half stays with who imports batches; permits name the public one.

    Example: `poleward factory import-key fleet-import.pem`
    """
    with explained():
        public_key = keys.create_import_key(path).public_key().public_bytes_raw()
    if json:
        print_json({"private": str(path), "public": str(keys.public_path(path))})
    else:
        results.print(f"{path} opens batches; {public_key.hex()} in {keys.public_path(path)}")


@app.command("permit")
def permit(
    out: Annotated[Path, typer.Argument(help="File to write; goes to the station as permit.json.")],
    *,
    station_key: Annotated[Path, typer.Option(help="Public key of the station, station.pem.pub.")],
    fleet_key: Annotated[
        Path, typer.Option(help="Public half of the fleet's import key; batches are sealed for it.")
    ],
    name: Annotated[str, typer.Option(help="Name of the station for people.")],
    quota: Annotated[int, typer.Option(min=1, max=_MAX_QUOTA, help="Nodes it may make in all.")],
    days: Annotated[int, typer.Option(min=1, help="How long it may make them.")],
    key: Annotated[Path, typer.Option(help="The factory's private key.")],
    json: JsonOption = False,
) -> None:
    """Permit a station to make nodes; its batches are refused without, afterwards and beyond.

    The factory's key is made as a release key is: `poleward release key factory.pem`

    Example: `poleward factory permit bench1/permit.json --station-key bench1/station.pem.pub
    --fleet-key fleet-import.pem.pub --name bench1 --quota 500 --days 30 --key factory.pem`
    """
    with explained():
        expires_at_s = int(time.time()) + days * _DAY_S
        made = batches.Permit(
            keys.load_public_key(station_key), keys.load_public_key(fleet_key), name, quota,
            expires_at_s,
        )  # fmt: skip
        out.write_text(batches.issue_permit(made, keys.load_key(key)), encoding="utf-8")
    if json:
        print_json({"file": str(out), "name": name, "quota": quota, "expires_at_s": expires_at_s})
    else:
        until = datetime.fromtimestamp(expires_at_s, UTC).date()
        results.print(f"{out}: station {name} may make {quota} nodes until {until}.")


@app.command("export")
def export(
    station: StationArgument,
    out: Annotated[Path, typer.Argument(help="File to write.")],
    *,
    json: JsonOption = False,
) -> None:
    """Write all nodes that passed and are in no batch yet into a batch: signed, and sealed.

    Only the fleet that the permit names can open it.

    Example: `poleward factory export bench1 monday.batch`
    """
    if out.exists():
        raise CommandError(f"{out} is there already; choose another name.", USAGE)
    with explained(), Station.open(station) as opened:
        text, macs = batches.export_batch(opened, time.time())
        if macs:
            _write_durably(out, text)
            batches.note_export(opened, text, macs)
    if json:
        print_json({"file": str(out) if macs else None, "nodes": macs})
    elif macs:
        results.print(f"{out}: {len(macs)} nodes. Bring it to the fleet: poleward factory import")
    else:
        results.print("No node that is not in a batch already; nothing was written.")


@app.command("import")
def import_batch(
    batch: Annotated[Path, typer.Argument(help="File made by `poleward factory export`.")],
    *,
    factory_key: Annotated[Path, typer.Option(help="Public key of the factory, the .pub file.")],
    import_key: Annotated[Path, typer.Option(help="Private key that opens the fleet's batches.")],
    fleet: FleetOption = None,
    token: TokenOption = None,
    json: JsonOption = False,
) -> None:
    """Register the nodes of a batch in the fleet, all or none.

    The same batch again changes nothing. The fleet counts the nodes of each station and refuses
    what is more than its permit allows in all batches, what comes after the permit's end, and an
    address that it knows with another secret (exit code 4).

    Example: `poleward factory import monday.batch --factory-key factory.pem.pub
    --import-key fleet-import.pem`
    """
    with explained():
        opened = batches.open_batch(
            batch.read_text(encoding="utf-8"), keys.load_public_key(factory_key),
            keys.load_import_key(import_key), now_s=time.time(),
        )  # fmt: skip
        permit = StationPermit(
            opened.permit.station_key, opened.permit.name, opened.permit.quota,
            opened.permit.expires_at_s * 1000,
        )  # fmt: skip
        with open_client(fleet, token) as client:
            numbers = client.import_nodes(opened.nodes, permit)
    if json:
        nodes = [
            {"mac": node.mac, "number": number}
            for node, number in zip(opened.nodes, numbers, strict=True)
        ]
        print_json({"batch": opened.batch_id, "station": opened.permit.name, "nodes": nodes})
    else:
        results.print(f"{len(numbers)} nodes of station {opened.permit.name} are in the fleet.")


@app.command("label")
def label(
    station: StationArgument,
    mac: Annotated[str, typer.Argument(help="Address of the node, 12 hex digits.")],
    *,
    printer: Annotated[str, typer.Option(help="Command that prints it.")] = "",
    json: JsonOption = False,
) -> None:
    """Make the label of a node again, and print it; only for nodes that passed.

    Example: `poleward factory label bench1 24ec4a112233 --printer 'lp -d labels {}'`
    """
    address = mac.replace(":", "").lower()
    with explained(), Station.open(station) as opened:
        identity = opened.identity(bytes.fromhex(address)) if _is_hex(address) else None
        if identity is None or opened.record.passed(address) is None:
            raise CommandError(f"No board {mac} passed at {station}.", USAGE)
        pdf, png = write_label(opened.labels, identity)
        opened.record.append("label", mac=address)
        if printer:
            try:
                print_label(printer, pdf)
            except LabelError as error:
                raise CommandError(f"{error}; the label is in {pdf}.", FAILED) from error
    if json:
        print_json({"pdf": str(pdf), "png": str(png), "printed": bool(printer)})
    else:
        results.print(f"{pdf}, {png}")


@app.command("harden")
def harden(
    work: Annotated[Path, typer.Argument(help="Working folder of this one board; holds its key.")],
    *,
    chip: ChipOption,
    firmware: FirmwareOption,
    signing_key: Annotated[Path, typer.Option(help="RSA-3072 key of secure boot, PEM.")],
    virtual: Annotated[
        Path | None, typer.Option(help="Rehearse on virtual fuses kept in this file.")
    ] = None,
    port: Annotated[str, typer.Option(help="Serial port of the board to lock FOR EVER.")] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show the steps.")] = False,
    json: JsonOption = False,
) -> None:
    """Lock a board: secure boot v2, flash encryption, no JTAG, no download mode.

    Burnt fuses cannot be undone. Rehearse with --virtual; read docs/flashing.md first.

    Example: `poleward factory harden board1 --chip esp32s3 --firmware build-S3
    --signing-key boot.pem --virtual fuses.bin`
    """
    if bool(port) == (virtual is not None):
        raise CommandError("Give either --virtual FILE or --port PORT.", USAGE)
    done: list[dict[str, object]] = []
    target = hardening.Target(chip.value, port, virtual)
    with explained():
        loaded = load_firmware(firmware, chip.value)
        steps = hardening.plan(chip.value, work, signing_key)
        if dry_run:
            for step in steps:
                command = shlex.join(hardening.command_of(step, target))
                entry = {"step": step.title, "command": command, "is_final": bool(step.burns)}
                done.append(entry)
                if not json:
                    mark = "NO WAY BACK  " if step.burns else ""
                    results.print(f"{mark}{step.title}\n    {command}", markup=False)
        else:
            if port:
                _confirm_burning(port)
            hardening.write_inputs(work, loaded)

            def say(step: Step, what: str) -> None:
                done.append({"step": step.title, "result": what, "is_final": bool(step.burns)})
                if not json:
                    results.print(f"{step.title}: {what}", markup=False)

            hardening.carry_out(steps, target, say)
    if json:
        print_json({"chip": chip.value, "dry_run": dry_run, "steps": done})


def _confirm_burning(port: str) -> None:
    """Have a person type what is about to happen; no option takes its place.

    Raises:
        CommandError: anything else was typed.
    """
    progress.print(
        f"[bold red]The fuses of the board on {port} are about to be burnt. THIS CANNOT BE UNDONE. "
        "A mistake in keys or images makes the board worthless.[/bold red]"
    )
    phrase = f"BURN {port}"
    if (
        typer.prompt(f"Type '{phrase}' to go on", err=True, default="", show_default=False)
        != phrase
    ):
        raise CommandError("Nothing was burnt.", FAILED)


def _is_hex(text: str) -> bool:
    return len(text) == 12 and all(digit in "0123456789abcdef" for digit in text)


def _write_durably(path: Path, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
