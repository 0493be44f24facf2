"""Images: what goes in comes out again, equal input gives equal bytes, misfits are named."""

from dataclasses import replace
from pathlib import Path

import pytest

from poleward_manifest import wheel_set
from poleward_manifest.envelope import Component, Manifest, sign
from poleward_manifest.errors import EnvelopeError, MalformedError
from poleward_tools.flash_image.app_image import AppImage
from poleward_tools.flash_image.errors import (
    ApplicationImageError,
    FileSystemError,
    FirmwareFileError,
    NvsFullError,
    PartitionTableError,
    SizeError,
)
from poleward_tools.flash_image.firmware_files import ChipFirmware, load_firmware, with_flash_size
from poleward_tools.flash_image.inspection import inspect
from poleward_tools.flash_image.littlefs import FileSystemImage
from poleward_tools.flash_image.node_image import (
    identity_region,
    prepare_software,
    whole_flash,
)
from poleward_tools.flash_image.node_nvs import new_identity
from poleward_tools.flashing.production import Production, collect
from poleward_tools.releases import folder, keys
from poleward_tools.releases.folder import StoredRelease
from poleward_tools.virtual_board.boot_rom import ResetReason, StartedApplication, boot
from poleward_tools.virtual_board.chips import CHIPS
from poleward_tools.virtual_board.flash_chip import NorFlash

from .conftest import (
    GATEWAY,
    MACS,
    MIB,
    application_for,
    bootloader_for,
    firmware_folder,
    merged_for,
    production_for,
)

IDENTITY = new_identity(MACS[0])


def flash_of(production: Production) -> bytes:
    nvs = identity_region(production.software, IDENTITY, production.trust)
    return whole_flash(production.software, [nvs])


@pytest.mark.parametrize("chip", sorted(CHIPS))
def test_the_bootloader_starts_what_was_built(
    tmp_path: Path, release: Path, key_file: Path, chip: str
) -> None:
    content = flash_of(production_for(tmp_path, release, key_file, chip))
    outcome = boot(CHIPS[chip], NorFlash(bytearray(content)), ResetReason.POWER_ON)
    assert isinstance(outcome, StartedApplication)
    assert outcome.app.label == "ota_0"


def test_same_input_gives_same_bytes(production: Production) -> None:
    software = production.software
    again = prepare_software(
        ChipFirmware("esp32", software.regions[0].content, application_for("esp32")),
        {"/boot.py": b"1", "/slot_a/b": b"2", "/slot_a/a": b"3"},
    )  # fmt: skip
    other_order = prepare_software(
        ChipFirmware("esp32", software.regions[0].content, application_for("esp32")),
        {"/slot_a/a": b"3", "/slot_a/b": b"2", "/boot.py": b"1"},
    )  # fmt: skip
    assert whole_flash(again) == whole_flash(other_order)
    assert again.digest == other_order.digest != software.digest
    assert flash_of(production) == flash_of(production)


def test_inspection_shows_everything_but_secrets(production: Production) -> None:
    content = flash_of(production)
    found = inspect(content)
    assert (found.kind, found.chip, found.problems) == ("flash", "esp32", [])
    parts = {part["label"]: part for part in found.parts}
    values = parts["nvs"]["values"]["identity"]
    assert values["mac"] == MACS[0].hex()
    assert values["gateway"] == GATEWAY
    assert values["bs_secret"] == "16 bytes"
    assert IDENTITY.bootstrap_secret.hex() not in repr(found)
    assert "/boot.py" in parts["vfs"]["files"]
    assert "/slot_a/release.cbor" in parts["vfs"]["files"]
    assert parts["ota_0"]["micropython"] == "v1.29.0 on 2026-11-01"
    assert parts["ota_1"]["content"] == "blank"


@pytest.mark.parametrize("chip", sorted(CHIPS))
def test_merged_file_and_folder_give_the_same_firmware(tmp_path: Path, chip: str) -> None:
    merged = tmp_path / "merged.bin"
    merged.write_bytes(merged_for(chip))
    folder = firmware_folder(tmp_path / "folder", chip)
    assert load_firmware(merged, chip) == load_firmware(folder, chip)
    found = inspect(merged.read_bytes())
    assert (found.kind, found.chip) == ("flash", chip)
    assert {part["content"] for part in found.parts if part["label"] == "vfs"} == {
        "not in the file"
    }


def test_application_and_bootloader_alone_are_recognised() -> None:
    application = inspect(application_for("esp32c3"))
    assert (application.kind, application.chip) == ("application", "esp32c3")
    assert application.facts["version"] == "1.29"
    assert inspect(bootloader_for("esp32s3")).kind == "bootloader"


@pytest.mark.parametrize("content", [b"", b"no image", bytes(5000)])
def test_any_other_file_is_refused_by_inspection(content: bytes) -> None:
    with pytest.raises(ApplicationImageError):
        inspect(content)


def test_torn_file_system_and_damaged_application_are_named(production: Production) -> None:
    content = bytearray(flash_of(production))
    content[0x310000:0x312000] = b"\x00" * 0x2000
    content[0x10100] ^= 1
    problems = inspect(bytes(content)).problems
    assert len(problems) == 2
    assert "ota_0" in problems[0]
    assert "vfs" in problems[1]


def test_wrong_chip_is_refused(tmp_path: Path) -> None:
    folder = firmware_folder(tmp_path / "folder", "esp32s3")
    with pytest.raises(FirmwareFileError, match="bootloader: image is for esp32s3"):
        load_firmware(folder, "esp32")
    merged = tmp_path / "merged.bin"
    merged.write_bytes(merged_for("esp32c3"))
    with pytest.raises(FirmwareFileError, match="is for esp32c3, not esp32s3"):
        load_firmware(merged, "esp32s3")
    with pytest.raises(FirmwareFileError, match="is no chip we know"):
        load_firmware(merged, "esp8266")


def test_corrupt_and_missing_firmware_is_named(tmp_path: Path) -> None:
    folder = firmware_folder(tmp_path / "folder", "esp32")
    damaged = bytearray(application_for("esp32"))
    damaged[2000] ^= 1
    (folder / "micropython.bin").write_bytes(damaged)
    with pytest.raises(FirmwareFileError, match="application: checksum"):
        load_firmware(folder, "esp32")
    (folder / "micropython.bin").unlink()
    with pytest.raises(FirmwareFileError, match=r"holds no micropython\.bin"):
        load_firmware(folder, "esp32")
    with pytest.raises(FirmwareFileError, match="cannot be read"):
        load_firmware(tmp_path / "nothing", "esp32")


def test_what_is_too_big_is_named_with_the_partition(tmp_path: Path) -> None:
    big = application_for("esp32", 0x180000)
    firmware = load_firmware(firmware_folder(tmp_path / "folder", "esp32", big), "esp32")
    with pytest.raises(SizeError, match=r"MicroPython has \d+ bytes; partition 'ota_0' holds"):
        prepare_software(firmware, {})
    small = replace(firmware, application=application_for("esp32"))
    with pytest.raises(FileSystemError, match="full"):
        prepare_software(small, {"/x": bytes(MIB)})
    with pytest.raises(PartitionTableError, match="behind the flash"):
        prepare_software(small, {}, flash_size_bytes=2 * MIB)


def test_too_many_release_keys_fill_the_nvs(production: Production) -> None:
    trust = replace(production.trust, release_keys=(bytes(32),) * 400)
    with pytest.raises(NvsFullError, match="400 release keys may be too many"):
        identity_region(production.software, IDENTITY, trust)


def test_bootloader_gets_the_size_of_the_flash_and_a_digest_that_fits() -> None:
    bootloader = bootloader_for("esp32")
    assert with_flash_size(bootloader, 4 * MIB) == bootloader
    larger = with_flash_size(bootloader, 8 * MIB)
    assert AppImage.decode(larger).flash_size_and_frequency & 0xF0 == 0x30
    with pytest.raises(FirmwareFileError, match="signed"):
        with_flash_size(bootloader + bytes(4096), 8 * MIB)
    with pytest.raises(FirmwareFileError, match="not 3145728 bytes"):
        with_flash_size(bootloader, 3 * MIB)


def test_release_that_nobody_trusted_signed_is_refused(tmp_path: Path, release: Path) -> None:
    stranger = tmp_path / "stranger.pem"
    keys.create_key(stranger)
    with pytest.raises(EnvelopeError):
        collect(
            chip="esp32", firmware=firmware_folder(tmp_path / "folder", "esp32"), release=release,
            gateway_uri=GATEWAY, release_keys=[keys.public_path(stranger)],
        )  # fmt: skip


def test_release_without_a_bundle_for_nodes_is_refused(tmp_path: Path, key_file: Path) -> None:
    wheels = wheel_set.pack({"poleward-1.0.0-py3-none-any.whl": b"PK"})
    manifest = Manifest(1, "1.0.0", "pole-basic", Component.of_bundle(wheels))
    release = StoredRelease(wheels, sign(manifest, [keys.load_signing_key(key_file)]))
    folder.save(tmp_path / "release", release)
    with pytest.raises(MalformedError):
        production_for(tmp_path, tmp_path / "release", key_file, "esp32")


def test_files_of_the_release_are_in_slot_a(production: Production) -> None:
    vfs = next(region for region in production.software.regions if region.label == "vfs")
    files = FileSystemImage.mount(vfs.content).files()
    assert "/main.py" in files
    assert "/slot_a/bundle" in files
