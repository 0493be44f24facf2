"""Which fuses lock which chip, in which order: keys before the switches that use them.

ESP-IDF, "Security Features Enablement Workflows" of each chip. What is signed and written before,
and running the tools, is in `hardening`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from poleward_tools.flashing.errors import HardeningError

_FLASH_KEY_PURPOSE = "XTS_AES_128_KEY"
_BOOT_KEY_PURPOSE = "SECURE_BOOT_DIGEST0"
_ESP32_MIN_REVISION = 3


@dataclass(frozen=True, slots=True)
class Step:
    """One command.

    Attributes:
        title: what it does, for people.
        tool: module of the tool.
        arguments: its arguments without those about the board.
        burns: fuses and their values afterwards, None for write-protected; when there are any,
            there is no way back.
        makes: file that is there afterwards; the step is not repeated when it is.
        touches_board: whether it writes the board's flash, which virtual fuses do not have.
    """

    title: str
    tool: str
    arguments: tuple[str, ...]
    burns: Mapping[str, object] = field(default_factory=dict)
    makes: Path | None = None
    touches_board: bool = False


@dataclass(frozen=True, slots=True)
class FusePlan:
    """How one chip is locked.

    Attributes:
        cipher: arguments of espsecure for the chip's flash encryption.
        steps: given the files of flash key and boot key digest, what is burnt.
        min_revision: first revision of the chip that can be locked so.
        maker_marks: fuses by which the maker says that a chip is of that revision.
    """

    cipher: tuple[str, ...]
    steps: Callable[[Path, Path], list[Step]]
    min_revision: int = 0
    maker_marks: tuple[str, ...] = ()

    def check_revision(self, fuses: Mapping[str, Any]) -> None:
        """Refuse a chip that is too old.

        Raises:
            HardeningError: it is; nothing was burnt.
        """
        found = int(fuses.get("WAFER_VERSION_MAJOR", {}).get("value", 0))
        if found < self.min_revision:
            raise HardeningError(
                f"this chip is of revision {found}; secure boot v2 needs {self.min_revision}.0 or "
                "later (ESP32-D0WD-V3, ESP32-U4WDH). Nothing was burnt; take another board"
            )


def _original_steps(flash_key: Path, digest: Path) -> list[Step]:
    """Return the steps of the original ESP32.

    1. burn-key protects the flash key from reading, and both keys from writing.
    2. The digest of the boot key must stay readable, so RD_DIS is closed after both keys are in.
    3. UART_DOWNLOAD_DIS goes last: after it nothing can be put right.
    """
    return [
        Step("burn the flash key, readable by the flash controller only", "espefuse",
             ("burn-key", "flash_encryption", str(flash_key)), {"BLOCK1": None}),
        Step("burn the digest of the boot key", "espefuse",
             ("burn-key", "secure_boot_v2", str(digest)), {"BLOCK2": None}),
        _burn("encrypt with every part of the address", {"FLASH_CRYPT_CONFIG": 15}),
        _burn("switch flash encryption on for ever", {"FLASH_CRYPT_CNT": 127}),
        _burn("forbid encryption and decryption by the port",
              {"DISABLE_DL_ENCRYPT": 1, "DISABLE_DL_DECRYPT": 1, "DISABLE_DL_CACHE": 1}),
        _burn("switch secure boot on", {"ABS_DONE_1": 1}),
        _protect_digest(),
        _burn("close JTAG and the ROM's BASIC", {"JTAG_DISABLE": 1, "CONSOLE_DEBUG_DISABLE": 1}),
        _burn("switch download mode off", {"UART_DOWNLOAD_DIS": 1}),
    ]  # fmt: skip


def _later_steps(*closed: str) -> Callable[[Path, Path], list[Step]]:
    """Return the steps of ESP32-C3 and later; `closed` are the ways in that the chip has.

    1. The flash key is burnt before encryption is switched on, and read-protected with it.
    2. The digest of the boot key must stay readable, so RD_DIS is closed after both keys are in.
    3. Download mode goes last: after it nothing can be put right.
    """

    def steps(flash_key: Path, digest: Path) -> list[Step]:
        return [
            _burn_key("burn the flash key, readable by the flash controller only", 0, flash_key,
                      _FLASH_KEY_PURPOSE),
            _burn_key("burn the digest of the boot key", 1, digest, _BOOT_KEY_PURPOSE),
            _burn("switch flash encryption on for ever", {"SPI_BOOT_CRYPT_CNT": 7}),
            _burn("forbid encryption by the port", {"DIS_DOWNLOAD_MANUAL_ENCRYPT": 1}),
            _burn("switch secure boot on", {"SECURE_BOOT_EN": 1}),
            _burn("revoke the boot keys that are not used",
                  {"SECURE_BOOT_KEY_REVOKE1": 1, "SECURE_BOOT_KEY_REVOKE2": 1}),
            _protect_digest(),
            _burn("close JTAG, direct boot and caches", dict.fromkeys(closed, 1)),
            _burn("switch download mode off", {"DIS_DOWNLOAD_MODE": 1}),
        ]  # fmt: skip

    return steps


def _protect_digest() -> Step:
    arguments = ("write-protect-efuse", "RD_DIS")
    return Step("keep the digest readable for ever", "espefuse", arguments, {"RD_DIS": None})


def _burn(title: str, fuses: dict[str, int]) -> Step:
    arguments = [text for name, value in fuses.items() for text in (name, str(value))]
    return Step(title, "espefuse", ("burn-efuse", *arguments), dict(fuses))


def _burn_key(title: str, block: int, file: Path, purpose: str) -> Step:
    arguments = ("burn-key", f"BLOCK_KEY{block}", str(file), purpose)
    return Step(title, "espefuse", arguments, {f"KEY_PURPOSE_{block}": purpose})


FUSE_PLANS = {
    "esp32": FusePlan(
        ("--flash-crypt-conf", "0xf"), _original_steps, _ESP32_MIN_REVISION,
        ("CHIP_VER_REV1", "CHIP_VER_REV2"),
    ),
    "esp32c3": FusePlan(
        ("--aes-xts",),
        _later_steps("DIS_DOWNLOAD_ICACHE", "DIS_PAD_JTAG", "DIS_USB_JTAG", "DIS_DIRECT_BOOT"),
    ),
    "esp32s3": FusePlan(
        ("--aes-xts",),
        _later_steps(
            "DIS_DOWNLOAD_ICACHE", "DIS_DOWNLOAD_DCACHE", "DIS_PAD_JTAG", "DIS_USB_JTAG",
            "DIS_DIRECT_BOOT",
        ),
    ),
}  # fmt: skip
