"""Locking a board, rehearsed with real espsecure and espefuse on virtual fuses."""

import subprocess
import sys
from pathlib import Path

import pytest

from poleward_tools.flash_image.firmware_files import load_firmware
from poleward_tools.flashing.errors import HardeningError
from poleward_tools.flashing.fuse_plan import Step
from poleward_tools.flashing.hardening import Target, carry_out, plan, write_inputs

from .conftest import firmware_folder

FINAL = ["SECURE_BOOT_EN", "DIS_DOWNLOAD_MODE", "DIS_PAD_JTAG", "DIS_DOWNLOAD_MANUAL_ENCRYPT"]


def tool(*arguments: object) -> None:
    command = [sys.executable, "-m", *map(str, arguments)]
    subprocess.run(command, check=True, capture_output=True, timeout=120)


@pytest.mark.system
def test_board_is_locked_in_order_and_an_interruption_goes_on(tmp_path: Path) -> None:
    chip, work, key = "esp32s3", tmp_path / "board", tmp_path / "boot.pem"
    tool("espsecure", "generate-signing-key", "--version", "2", "--scheme", "rsa3072", key)
    write_inputs(work, load_firmware(firmware_folder(tmp_path / "firmware", chip), chip))
    target = Target(chip, virtual=tmp_path / "fuses.bin")
    steps = plan(chip, work, key)
    said: list[tuple[str, str]] = []

    class UnpluggedError(Exception):
        pass

    def interrupt(step: Step, what: str) -> None:
        if "SECURE_BOOT_DIGEST0" in step.arguments:
            raise UnpluggedError

    with pytest.raises(UnpluggedError):
        carry_out(steps, target, interrupt)
    flash_key = (work / "flash-key.bin").read_bytes()
    fuses = carry_out(steps, target, lambda step, what: said.append((step.title, what)))
    assert (work / "flash-key.bin").read_bytes() == flash_key
    assert dict(said)["burn the digest of the boot key"] == "was done"
    assert said[-1] == ("switch download mode off", "done")
    assert all(fuses[name]["value"] is True for name in FINAL)
    # The flash key is out of reach, the digest of the boot key can be read and stays so.
    assert fuses["BLOCK_KEY0"]["readable"] is False
    assert fuses["BLOCK_KEY1"]["readable"] is True
    assert fuses["RD_DIS"]["writeable"] is False
    digest = (work / "boot-key-digest.bin").read_bytes()
    assert bytes.fromhex(fuses["BLOCK_KEY1"]["value"].replace(" ", "")) == digest
    # What would be in the flash is what was signed.
    decrypted = tmp_path / "decrypted"
    tool("espsecure", "decrypt-flash-data", "--aes-xts", "--keyfile", work / "flash-key.bin",
         "--address", "0x10000", "--output", decrypted, work / "application.encrypted")  # fmt: skip
    assert decrypted.read_bytes() == (work / "application.signed").read_bytes()
    (work / "flash-key.bin").unlink()
    with pytest.raises(HardeningError, match="take the folder it was begun in"):
        carry_out(steps, target, lambda *_: None)


@pytest.mark.parametrize("chip", ["esp32c3", "esp32s3"])
def test_no_fuse_is_burnt_before_everything_is_written_and_download_mode_is_last(
    chip: str, tmp_path: Path
) -> None:
    steps = plan(chip, tmp_path, tmp_path / "key")
    burning = [bool(step.burns) for step in steps]
    assert burning == sorted(burning)
    order = [name for step in steps for name in step.burns]
    assert order[:2] == ["KEY_PURPOSE_0", "KEY_PURPOSE_1"]
    assert order.index("SPI_BOOT_CRYPT_CNT") < order.index("SECURE_BOOT_EN") < order.index("RD_DIS")
    assert order[-1] == "DIS_DOWNLOAD_MODE"


@pytest.mark.system
def test_original_esp32_is_locked_from_revision_3_on(tmp_path: Path) -> None:
    chip, work, key = "esp32", tmp_path / "board", tmp_path / "boot.pem"
    tool("espsecure", "generate-signing-key", "--version", "2", "--scheme", "rsa3072", key)
    write_inputs(work, load_firmware(firmware_folder(tmp_path / "firmware", chip), chip))
    steps = plan(chip, work, key)
    old = Target(chip, virtual=tmp_path / "old.bin")
    tool("espefuse", *old.arguments, "summary")  # makes a chip of revision 0
    with pytest.raises(HardeningError, match=r"revision 0; secure boot v2 needs 3\.0.*Nothing was"):
        carry_out(steps, old, lambda *_: None)
    assert not (work / "flash-key.bin").exists()

    target = Target(chip, virtual=tmp_path / "fuses.bin")
    fuses = carry_out(steps, target, lambda *_: None)
    for name in ("ABS_DONE_1", "UART_DOWNLOAD_DIS", "JTAG_DISABLE", "DISABLE_DL_DECRYPT"):
        assert fuses[name]["value"] is True, name
    assert fuses["FLASH_CRYPT_CNT"]["value"] == 127
    assert (fuses["BLOCK1"]["readable"], fuses["BLOCK2"]["readable"]) == (False, True)
    assert fuses["RD_DIS"]["writeable"] is False
    digest = (work / "boot-key-digest.bin").read_bytes()
    assert bytes.fromhex(fuses["BLOCK2"]["value"].replace(" ", "")) == digest
    decrypted = tmp_path / "decrypted"
    tool("espsecure", "decrypt-flash-data", "--flash-crypt-conf", "0xf", "--keyfile",
         work / "flash-key.bin", "--address", "0x1000", "--output", decrypted,
         work / "bootloader.encrypted")  # fmt: skip
    assert decrypted.read_bytes() == (work / "bootloader.signed").read_bytes()
    said: list[str] = []
    carry_out(steps, target, lambda step, what: said.append(what) if step.burns else None)
    assert set(said) == {"was done"}


def test_fuses_of_the_original_esp32_are_burnt_in_order(tmp_path: Path) -> None:
    steps = plan("esp32", tmp_path, tmp_path / "key")
    burning = [bool(step.burns) for step in steps]
    assert burning == sorted(burning)
    order = [name for step in steps for name in step.burns]
    assert order[:2] == ["BLOCK1", "BLOCK2"]
    assert order.index("FLASH_CRYPT_CNT") < order.index("ABS_DONE_1") < order.index("RD_DIS")
    assert order[-1] == "UART_DOWNLOAD_DIS"


def test_other_chips_and_a_bad_key_are_refused(tmp_path: Path) -> None:
    with pytest.raises(HardeningError, match="not esp32c6"):
        plan("esp32c6", tmp_path, tmp_path / "key")
    write_inputs(
        tmp_path / "work", load_firmware(firmware_folder(tmp_path / "f", "esp32c3"), "esp32c3")
    )
    bad = tmp_path / "key.pem"
    bad.write_text("no key")
    target = Target("esp32c3", virtual=tmp_path / "fuses.bin")
    with pytest.raises(HardeningError, match="sign the bootloader"):
        carry_out(plan("esp32c3", tmp_path / "work", bad), target, lambda *_: None)
