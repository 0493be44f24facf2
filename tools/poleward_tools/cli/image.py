"""Commands about flash images: `poleward image build` and `inspect`.

Bringing them onto boards is `poleward flash`.
"""

import hashlib
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from poleward_tools.cli.options import JsonOption
from poleward_tools.cli.output import print_json, print_table, results
from poleward_tools.cli.production_options import (
    ChipOption,
    FirmwareOption,
    FlashSizeOption,
    GatewayOption,
    KeyOption,
    ReleaseOption,
    SettingOption,
    ThresholdOption,
    TrustOption,
    explained,
    settings_of,
)
from poleward_tools.exit_codes import FAILED, CommandError
from poleward_tools.flash_image.inspection import Inspection
from poleward_tools.flash_image.inspection import inspect as look_into
from poleward_tools.flash_image.node_image import identity_region, whole_flash
from poleward_tools.flash_image.node_nvs import NodeIdentity, new_identity
from poleward_tools.flashing.identity_file import load_identity, save_identity
from poleward_tools.flashing.production import collect

_MIB = 1 << 20

app = typer.Typer(no_args_is_help=True, help="Flash images: everything in a node's flash.")


@app.command("build")
def build(
    out: Annotated[Path, typer.Argument(help="File to write.")],
    *,
    chip: ChipOption,
    firmware: FirmwareOption,
    release: ReleaseOption,
    gateway: GatewayOption,
    key: KeyOption = None,
    threshold: ThresholdOption = 1,
    trust: TrustOption = None,
    identity: Annotated[
        Path, typer.Option(help="Identity of the node; made when missing, with --mac.")
    ],
    mac: Annotated[str | None, typer.Option(help="Address for a new identity, 12 digits.")] = None,
    setting: SettingOption = None,
    flash_mib: FlashSizeOption = 4,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before writing secrets.")] = False,
    json: JsonOption = False,
) -> None:
    """Make the content of one node's flash; the same input gives the same bytes.

    Example: `poleward image build node.bin --chip esp32 --firmware ESP32_GENERIC.bin
    --release release-1.4.0 --key release.pem.pub --gateway coap://192.168.4.1:5683
    --identity node.json --mac 24ec4a112233`
    """
    with explained():
        production = collect(
            chip=chip.value, firmware=firmware, release=release, gateway_uri=gateway,
            release_keys=key or (), threshold=threshold, document=trust,
            flash_size_bytes=flash_mib * _MIB, settings=settings_of(setting),
        )  # fmt: skip
        if not yes and not typer.confirm(f"Write a node's secrets to {out}?", err=True):
            raise CommandError("Nothing was written.", FAILED)
        node = _identity(identity, mac)
        nvs = identity_region(production.software, node, production.trust, production.settings)
        content = whole_flash(production.software, [nvs])
        out.touch(mode=0o600)
        out.write_bytes(content)
    regions = sorted((*production.software.regions, nvs), key=lambda region: region.offset)
    digest = hashlib.sha256(content).hexdigest()
    facts = {
        "file": str(out),
        "chip": chip.value,
        "mac": node.mac,
        "release": production.version,
        "sha256": digest,
        "regions": [
            {"label": r.label, "offset": r.offset, "size_bytes": len(r.content)} for r in regions
        ],
    }
    if json:
        print_json(facts)
        return
    results.print(f"{out}: {chip.value}, node {node.mac.hex()}, release {production.version}")
    print_table(
        ("region", "offset", "bytes"),
        ((r.label, f"0x{r.offset:06x}", len(r.content)) for r in regions),
    )
    results.print(f"SHA-256 {digest}")


@app.command("inspect")
def inspect(
    file: Annotated[Path, typer.Argument(help="Flash file, firmware file or application image.")],
    *,
    json: JsonOption = False,
) -> None:
    """Show what is in a flash file or in any build of MicroPython; exit code 1 when damaged.

    Example: `poleward image inspect ESP32_GENERIC-v1.26.bin`
    """
    with explained():
        found = look_into(file.read_bytes())
    if json:
        print_json({"file": str(file), **asdict(found)})
    else:
        _show(file, found)
    if found.problems:
        raise CommandError(f"{file}: {'; '.join(found.problems)}.", FAILED)


def _identity(path: Path, mac: str | None) -> NodeIdentity:
    address = None
    if mac is not None:
        try:
            address = bytes.fromhex(mac.replace(":", ""))
        except ValueError:
            address = b""
        if len(address) != 6:
            raise typer.BadParameter(f"'{mac}' is no address of 12 hex digits", param_hint="--mac")
    if path.exists():
        identity = load_identity(path)
        if address not in (None, identity.mac):
            raise typer.BadParameter(f"{path} is of {identity.mac.hex()}", param_hint="--mac")
        return identity
    if address is None:
        raise typer.BadParameter(f"{path} is not there; give --mac to make it")
    identity = new_identity(address)
    save_identity(path, identity)
    return identity


def _show(file: Path, found: Inspection) -> None:
    results.print(f"{file}: {found.kind} for {found.chip}, {found.size_bytes} bytes", markup=False)
    if found.first_offset:
        results.print(f"starts at 0x{found.first_offset:x} of the flash")
    for name, value in found.facts.items():
        if isinstance(value, dict):
            value = ", ".join(f"{key} {entry}" for key, entry in value.items())
        results.print(f"{name}: {value}", markup=False)
    if found.parts:
        print_table(
            ("partition", "offset", "bytes", "content", "about"),
            (
                (
                    p["label"],
                    f"0x{p['offset']:06x}",
                    p["size_bytes"],
                    p.get("content", ""),
                    _about(p),
                )
                for p in found.parts
            ),
        )


def _about(part: dict[str, Any]) -> str:
    if "files" in part:
        return f"{len(part['files'])} files, {sum(part['files'].values())} bytes"
    if "values" in part:
        return "; ".join(
            f"{space}: " + ", ".join(f"{key}={value}" for key, value in values.items())
            for space, values in part["values"].items()
        )
    names = (
        "project",
        "version",
        "micropython",
        "idf_version",
        "built",
        "free_bytes",
        "starts",
        "state",
    )
    return ", ".join(f"{name} {part[name]}" for name in names if part.get(name) not in (None, ""))
