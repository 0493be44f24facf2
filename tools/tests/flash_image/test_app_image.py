"""Images: what esptool says about ours, and that damage is found."""

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poleward_tools.flash_image.app_image import (
    CHIP_IDS,
    AppDescription,
    AppImage,
    Segment,
)
from poleward_tools.flash_image.errors import ApplicationImageError

DESCRIPTION = AppDescription("1.2.3", "poleward", "12:00:00", "Nov 21 2026", "v5.4")


def image_of(chip: str = "esp32", has_digest: bool = True) -> AppImage:
    return AppImage(
        chip_id=CHIP_IDS[chip],
        entry_address=0x40081234,
        segments=(
            # esptool looks for the description in the segment mapped as read-only data.
            Segment(
                0x3F400020 if chip == "esp32" else 0x3C000020, DESCRIPTION.encode() + b"drom" * 7
            ),
            Segment(0x40080000, bytes(range(256)) * 3),
        ),
        has_digest=has_digest,
    )


segments = st.lists(
    st.builds(
        Segment,
        st.integers(0, 0xFFFFFFFF),
        st.binary(max_size=80).map(lambda data: data + bytes(-len(data) % 4)),
    ),
    min_size=1,
    max_size=16,
)


@given(segments, st.sampled_from(sorted(CHIP_IDS.values())), st.booleans(), st.binary(max_size=9))
def test_any_image_survives_a_round_trip_whatever_follows_it(
    parts: list[Segment], chip_id: int, has_digest: bool, tail: bytes
) -> None:
    image = AppImage(chip_id, 0x40080000, tuple(parts), has_digest=has_digest)
    data = image.encode()
    decoded = AppImage.decode(data + tail, chip_id=chip_id)
    assert decoded == image
    assert decoded.size_bytes == len(data)


@pytest.mark.parametrize("chip", ["esp32", "esp32c3", "esp32s3"])
def test_esptool_finds_checksum_digest_and_description_valid(chip: str, tmp_path: Path) -> None:
    path = tmp_path / "app.bin"
    path.write_bytes(image_of(chip).encode())
    shown = subprocess.run(
        [sys.executable, "-m", "esptool", "--chip", chip, "image-info", str(path)],
        capture_output=True, text=True, check=True, timeout=60,
    ).stdout  # fmt: skip
    assert "(valid)" in shown.split("Checksum:")[1].splitlines()[0]
    assert "(valid)" in shown.split("Validation hash:")[1].splitlines()[0]
    assert "App version: 1.2.3" in shown
    assert "Project name: poleward" in shown


@given(st.integers(0, len(image_of().encode()) * 8 - 1))
def test_one_flipped_bit_is_found(bit: int) -> None:
    data = bytearray(image_of().encode())
    data[bit // 8] ^= 1 << bit % 8
    try:
        decoded = AppImage.decode(data, chip_id=CHIP_IDS["esp32"])
    except ApplicationImageError:
        return
    # The flag that says whether a digest follows is the only bit that hides its own damage.
    assert bit // 8 == 23
    assert not decoded.has_digest


@given(st.integers(0, len(image_of().encode()) - 1))
def test_image_cut_off_anywhere_is_refused(size_bytes: int) -> None:
    with pytest.raises(ApplicationImageError):
        AppImage.decode(image_of().encode()[:size_bytes])


@given(st.binary(max_size=200))
def test_garbage_is_refused(data: bytes) -> None:
    with pytest.raises(ApplicationImageError):
        AppImage.decode(b"\xe9" + data)


def test_image_for_another_chip_is_refused_by_name() -> None:
    with pytest.raises(ApplicationImageError, match="image is for esp32c3, this is esp32s3"):
        AppImage.decode(image_of("esp32c3").encode(), chip_id=CHIP_IDS["esp32s3"])


def test_description_is_read_back_and_a_bootloader_has_none() -> None:
    assert AppImage.decode(image_of().encode()).description == DESCRIPTION
    bootloader = AppImage(0, 0x40080000, (Segment(0x40080000, bytes(300)),))
    assert AppImage.decode(bootloader.encode()).description is None


def test_erased_partition_is_no_image() -> None:
    with pytest.raises(ApplicationImageError, match="starts with 0xff"):
        AppImage.decode(b"\xff" * 4096)
