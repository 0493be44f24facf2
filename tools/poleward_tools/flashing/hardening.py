"""The steps that lock a board for good: signed code, encrypted flash, no way in by its port.

It runs Espressif's espsecure, esptool and espefuse, one process for each step, on virtual fuses or
on a board. The order is that of ESP-IDF, "Security Features Enablement Workflows". Which fuses a
chip has is in `fuse_plan`.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from poleward_tools.flash_image.firmware_files import BOOTLOADER_OFFSETS, ChipFirmware
from poleward_tools.flash_image.partition_table import NODE_4_MIB, TABLE_OFFSET
from poleward_tools.flashing.errors import HardeningError
from poleward_tools.flashing.fuse_plan import FUSE_PLANS, Step

_FLASH_KEY = "flash-key.bin"
_STEP_TIMEOUT_S = 120
_REASON_SHOWN = 300


@dataclass(frozen=True, slots=True)
class Target:
    """Where fuses are burnt: a board on a port, or a file of virtual fuses."""

    chip: str
    port: str = ""
    virtual: Path | None = None

    @property
    def arguments(self) -> list[str]:
        """Arguments of espefuse and esptool about it."""
        if self.virtual is not None:
            return ["--chip", self.chip, "--virt", "--path-efuse-file", str(self.virtual)]
        return ["--chip", self.chip, "--port", self.port]


def write_inputs(folder: Path, firmware: ChipFirmware) -> None:
    """Put what is to be signed and encrypted into the working folder of one board.

    Raises:
        OSError: it cannot be written.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    (folder / "bootloader.bin").write_bytes(firmware.bootloader)
    (folder / "application.bin").write_bytes(firmware.application)
    (folder / "table.bin").write_bytes(NODE_4_MIB.encode())


def plan(chip: str, folder: Path, signing_key: Path) -> list[Step]:
    """Return all steps in the only order that works.

    Sign, verify, encrypt and write while the board still takes it; then the fuses.

    Raises:
        HardeningError: the chip has other fuses.
    """
    fuses = FUSE_PLANS.get(chip)
    if fuses is None:
        raise HardeningError(f"hardening knows {', '.join(FUSE_PLANS)}, not {chip}")
    key, digest = folder / _FLASH_KEY, folder / "boot-key-digest.bin"
    steps = []
    places = {
        "bootloader": BOOTLOADER_OFFSETS[chip],
        "table": TABLE_OFFSET,
        "application": NODE_4_MIB.ota_slots[0].offset,
    }
    signed = {name: folder / f"{name}.signed" for name in ("bootloader", "application")}
    for name, path in signed.items():
        steps += [
            _tool(f"sign the {name}", "sign-data", "--version", "2", "--keyfile", signing_key,
                  "--output", path, folder / f"{name}.bin", makes=path),
            _tool(f"verify the signature of the {name}", "verify-signature", "--version", "2",
                  "--keyfile", signing_key, path),
        ]  # fmt: skip
    steps += [
        _tool("make the digest of the boot key", "digest-sbv2-public-key", "--keyfile",
              signing_key, "--output", digest, makes=digest),
        _tool("make this board's flash key", "generate-flash-encryption-key", "--keylen", "256",
              key, makes=key),
    ]  # fmt: skip
    writes: list[object] = []
    for name, offset in places.items():
        encrypted = folder / f"{name}.encrypted"
        plain = signed.get(name, folder / f"{name}.bin")
        steps.append(
            _tool(f"encrypt the {name}", "encrypt-flash-data", *fuses.cipher, "--keyfile", key,
                  "--address", hex(offset), "--output", encrypted, plain)
        )  # fmt: skip
        writes += [hex(offset), encrypted]
    steps.append(
        Step("write what is encrypted", "esptool", ("--no-stub", "write-flash", "--force",
             *map(str, writes)), touches_board=True)
    )  # fmt: skip
    return [*steps, *fuses.steps(key, digest)]


def carry_out(
    steps: list[Step], target: Target, say: Callable[[Step, str], None]
) -> dict[str, Any]:
    """Do what is not done yet, step by step, and return the fuses afterwards.

    After an interruption the same call goes on where it ended: files and fuses tell.

    Args:
        steps: of `plan`.
        target: board or virtual fuses.
        say: told each step and what became of it: "done", "was done", "left out".

    Raises:
        HardeningError: the chip cannot be locked, or a step failed; nothing after it was done.
    """
    _make_virtual_board(target)
    fuses = read_fuses(target)
    FUSE_PLANS[target.chip].check_revision(fuses)
    flash_key = next(step.makes for step in steps if step.makes and step.makes.name == _FLASH_KEY)
    burn_it = next(step for step in steps if step.burns and str(flash_key) in step.arguments)
    if _is_done(burn_it, fuses) and not flash_key.exists():
        raise HardeningError(
            f"the board has a flash key and {flash_key} is missing; take the folder it was begun in"
        )
    for step in steps:
        if step.touches_board and target.virtual is not None:
            say(step, "left out: virtual fuses have no flash")
            continue
        if step.makes is not None and step.makes.exists():
            say(step, "was done")
            continue
        if step.burns and _is_done(step, fuses):
            say(step, "was done")
            continue
        _run(step, target)
        if step.burns:
            fuses = read_fuses(target)
            missing = [n for n, value in step.burns.items() if not _is_burnt(fuses, n, value)]
            if missing:
                raise HardeningError(f"{step.title}: {', '.join(missing)} did not take it")
        say(step, "done")
    return fuses


def read_fuses(target: Target) -> dict[str, Any]:
    """Return every fuse as espefuse shows it.

    Raises:
        HardeningError: they cannot be read.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "fuses.json"
        arguments = ("summary", "--format", "json", "--file", str(file))
        _run(Step("read the fuses", "espefuse", arguments), target)
        found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return found


def command_of(step: Step, target: Target) -> list[str]:
    """Return the command of a step as it is run."""
    if step.tool == "espsecure":
        return ["-m", step.tool, *step.arguments]
    confirmed = ["--do-not-confirm"] if step.tool == "espefuse" else []
    return ["-m", step.tool, *target.arguments, *confirmed, *step.arguments]


def _run(step: Step, target: Target) -> None:
    done = subprocess.run(
        [sys.executable, *command_of(step, target)],
        check=False, capture_output=True, text=True, timeout=_STEP_TIMEOUT_S,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip
    if done.returncode:
        said = [line.strip() for line in (done.stdout + done.stderr).splitlines() if line.strip()]
        reason = said[-1][:_REASON_SHOWN] if said else f"exit code {done.returncode}"
        raise HardeningError(f"{step.title}: {reason}")


def _make_virtual_board(target: Target) -> None:
    """Give a new file of virtual fuses what a chip that can be locked has from its maker."""
    marks = FUSE_PLANS[target.chip].maker_marks
    if target.virtual is None or target.virtual.exists() or not marks:
        return
    arguments = [text for name in marks for text in (name, "1")]
    _run(Step("make a virtual chip", "espefuse", ("burn-efuse", *arguments)), target)


def _is_done(step: Step, fuses: Mapping[str, Any]) -> bool:
    return all(_is_burnt(fuses, name, value) for name, value in step.burns.items())


def _is_burnt(fuses: Mapping[str, Any], name: str, value: object) -> bool:
    fuse = fuses.get(name, {})
    if value is None:
        return fuse.get("writeable") is False
    if isinstance(value, int):
        return int(str(fuse.get("raw_value", "0")), 0) == value
    return bool(fuse.get("value") == value)


def _tool(title: str, *arguments: object, makes: Path | None = None) -> Step:
    return Step(title, "espsecure", tuple(map(str, arguments)), makes=makes)
