"""Options of the commands that make flash images, and the production run they describe.

No command is here.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from poleward_manifest.errors import EnvelopeError
from poleward_tools.exit_codes import FAILED, REFUSED, USAGE, CommandError
from poleward_tools.flash_image.errors import FlashImageError
from poleward_tools.flash_image.node_nvs import MAX_SETTING_BYTES, SETTING_NAMESPACES
from poleward_tools.flashing.errors import (
    BatchError,
    HardeningError,
    StationBusyError,
    StationError,
)
from poleward_tools.releases.build import BuildError
from poleward_tools.releases.folder import ReleaseFolderError
from poleward_tools.releases.keys import ReleaseKeyError
from poleward_tools.releases.trust_folder import TrustFileError


class ChipName(StrEnum):
    """The chips of our nodes."""

    ESP32 = "esp32"
    ESP32C3 = "esp32c3"
    ESP32S3 = "esp32s3"


ChipOption = Annotated[ChipName, typer.Option("--chip", help="Chip of the boards.")]
FirmwareOption = Annotated[
    Path,
    typer.Option(
        "--firmware",
        help="MicroPython: the full .bin of micropython.org, or a build's folder with "
        "bootloader.bin and micropython.bin.",
    ),
]
ReleaseOption = Annotated[
    Path, typer.Option("--release", help="Folder of a signed release, see `poleward release`.")
]
GatewayOption = Annotated[
    str, typer.Option("--gateway", help="Where nodes bootstrap, e.g. coap://192.168.4.1:5683.")
]
KeyOption = Annotated[
    list[Path] | None,
    typer.Option("--key", help="Public release key that nodes trust; may be given often."),
]
TrustOption = Annotated[
    Path | None,
    typer.Option(
        "--trust",
        help="Instead of keys: trust document that nodes follow from their first boot on, or a "
        "folder with it, see `poleward keys fetch`.",
    ),
]
ThresholdOption = Annotated[
    int,
    typer.Option("--threshold", min=1, help="How many of the keys must have signed a release."),
]
FlashSizeOption = Annotated[
    int, typer.Option("--flash-mib", min=1, max=16, help="Size of the flash in MiB.")
]

SettingOption = Annotated[
    list[str] | None,
    typer.Option(
        "--setting",
        help="What boards have and need, as NAMESPACE/KEY=TEXT or NAMESPACE/KEY=@FILE, several "
        "times: board/parts, network/ssid, network/key, network/apn.",
    ),
]


def settings_of(texts: list[str] | None) -> dict[str, dict[str, str]]:
    """Read the settings of a production run.

    Raises:
        CommandError: one is no setting.
    """
    settings: dict[str, dict[str, str]] = {}
    for text in texts or ():
        name, equals, value = text.partition("=")
        namespace, slash, key = name.partition("/")
        if not (equals and slash and key) or namespace not in SETTING_NAMESPACES:
            raise CommandError(
                f"'{name}' is no setting; give board/KEY=TEXT or network/KEY=TEXT.", USAGE
            )
        if value.startswith("@"):
            with explained():
                value = Path(value[1:]).read_text(encoding="utf-8").strip()
        if len(value.encode()) > MAX_SETTING_BYTES:
            raise CommandError(
                f"{name} has {len(value.encode())} bytes; a node reads {MAX_SETTING_BYTES}.", USAGE
            )
        settings.setdefault(namespace, {})[key] = value
    return settings


@contextmanager
def explained() -> Iterator[None]:
    """Translate what can be wrong with images, releases and stations into exit codes."""
    try:
        yield
    except (StationBusyError, BatchError, EnvelopeError) as error:
        raise CommandError(f"Refused: {error}.", REFUSED) from error
    except HardeningError as error:
        raise CommandError(f"{error}.", FAILED) from error
    except (
        FlashImageError, StationError, ReleaseFolderError, ReleaseKeyError, TrustFileError,
        BuildError,
    ) as error:  # fmt: skip
        raise CommandError(f"{error}.", USAGE) from error
    except OSError as error:
        raise CommandError(f"{error.filename}: {error.strerror}.", USAGE) from error
