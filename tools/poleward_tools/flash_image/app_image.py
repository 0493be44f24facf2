"""ESP32 application and bootloader images: read, verify and build them.

What a bootloader checks before it starts an image, not what the code in it does.
"""

import hashlib
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import reduce
from operator import xor

from poleward_tools.flash_image.errors import ApplicationImageError

IMAGE_MAGIC = 0xE9
MAX_SEGMENTS = 16
CHIP_IDS = {"esp32": 0x0000, "esp32c3": 0x0005, "esp32s3": 0x0009}

_HEADER = struct.Struct("<BBBBI")
_EXTENDED_HEADER = struct.Struct("<B3sHBHH4sB")
_SEGMENT = struct.Struct("<II")
_HEADERS_SIZE_BYTES = _HEADER.size + _EXTENDED_HEADER.size
_DIGEST_SIZE_BYTES = 32
_CHECKSUM_SEED = 0xEF
_CHECKSUM_ROW_BYTES = 16
# No write-protect pin is driven.
_WRITE_PROTECT_PIN_DISABLED = 0xEE

_DESCRIPTION = struct.Struct("<II8s32s32s16s16s32s32s80s")
_DESCRIPTION_MAGIC = 0xABCD5432


@dataclass(frozen=True, slots=True)
class Segment:
    """Bytes that are loaded or mapped at an address."""

    address: int
    data: bytes


@dataclass(frozen=True, slots=True)
class AppDescription:
    """`esp_app_desc_t`: what an application says about itself, in its first segment."""

    version: str
    project: str
    build_time: str = ""
    build_date: str = ""
    idf_version: str = ""
    secure_version: int = 0
    elf_sha256: bytes = bytes(32)

    def encode(self) -> bytes:
        """Return the 256 bytes.

        Raises:
            ApplicationImageError: a text is longer than its field.
        """
        texts = []
        for name, size_bytes in (
            ("version", 32), ("project", 32), ("build_time", 16), ("build_date", 16),
            ("idf_version", 32),
        ):  # fmt: skip
            text = getattr(self, name).encode()
            # A field ends in NUL, as the bootloader prints it.
            if len(text) >= size_bytes:
                raise ApplicationImageError(f"{name} is longer than {size_bytes - 1} bytes")
            texts.append(text)
        return _DESCRIPTION.pack(
            _DESCRIPTION_MAGIC, self.secure_version, b"", *texts, self.elf_sha256, b""
        )

    @classmethod
    def decode(cls, data: bytes) -> "AppDescription | None":
        """Read a description; None when the segment does not start with one (a bootloader)."""
        if len(data) < _DESCRIPTION.size:
            return None
        magic, secure, _, *texts, elf_sha256, _ = _DESCRIPTION.unpack_from(data)
        if magic != _DESCRIPTION_MAGIC:
            return None
        version, project, build_time, build_date, idf_version = (
            text.split(b"\0")[0].decode(errors="replace") for text in texts
        )
        return cls(version, project, build_time, build_date, idf_version, secure, elf_sha256)


@dataclass(frozen=True, slots=True)
class AppImage:
    """An image taken apart; `encode` puts it together with fresh checksum and digest."""

    chip_id: int
    entry_address: int
    segments: tuple[Segment, ...]
    flash_mode: int = 0x02
    flash_size_and_frequency: int = 0x20
    min_revision: int = 0
    max_revision: int = 0xFFFF
    has_digest: bool = True
    # Length in the flash; 0 for an image not read from anywhere.
    size_bytes: int = field(default=0, compare=False)
    digest: bytes = field(default=b"", compare=False)

    @property
    def description(self) -> AppDescription | None:
        """What the application says about itself, None for a bootloader."""
        return AppDescription.decode(self.segments[0].data) if self.segments else None

    def encode(self) -> bytes:
        """Return the image as it is written to the flash.

        Raises:
            ApplicationImageError: no segment, too many, or one that is no multiple of 4 bytes.
        """
        if not 1 <= len(self.segments) <= MAX_SEGMENTS:
            raise ApplicationImageError(f"{len(self.segments)} segments; 1 to {MAX_SEGMENTS} fit")
        image = bytearray(
            _HEADER.pack(
                IMAGE_MAGIC, len(self.segments), self.flash_mode,
                self.flash_size_and_frequency, self.entry_address,
            )
        )  # fmt: skip
        image += _EXTENDED_HEADER.pack(
            _WRITE_PROTECT_PIN_DISABLED, b"", self.chip_id, min(self.min_revision // 100, 0xFF),
            self.min_revision, self.max_revision, b"", int(self.has_digest),
        )  # fmt: skip
        for segment in self.segments:
            if len(segment.data) % 4:
                raise ApplicationImageError(
                    f"segment at 0x{segment.address:08x} has {len(segment.data)} bytes, "
                    "which is no multiple of 4"
                )
            image += _SEGMENT.pack(segment.address, len(segment.data)) + segment.data
        # The checksum is the last byte of a row of 16, with at least itself in that row.
        image += bytes(_CHECKSUM_ROW_BYTES - 1 - len(image) % _CHECKSUM_ROW_BYTES)
        image.append(_checksum(self.segments))
        if self.has_digest:
            image += hashlib.sha256(image).digest()
        return bytes(image)

    @classmethod
    def decode(
        cls, data: bytes | bytearray | memoryview, *, chip_id: int | None = None
    ) -> "AppImage":
        """Read and verify the image at the start of `data`; anything may follow it.

        Args:
            data: the content of a partition or a file.
            chip_id: the chip that shall run it; None accepts any.

        Raises:
            ApplicationImageError: what a bootloader would refuse: no image, cut off, wrong chip,
                wrong checksum, wrong digest.
        """
        if len(data) < _HEADERS_SIZE_BYTES:
            raise ApplicationImageError(f"{len(data)} bytes are too few for an image header")
        magic, count, flash_mode, flash_size, entry = _HEADER.unpack_from(data)
        if magic != IMAGE_MAGIC:
            raise ApplicationImageError(f"image starts with 0x{magic:02x} instead of 0xe9")
        if not 1 <= count <= MAX_SEGMENTS:
            raise ApplicationImageError(f"{count} segments; 1 to {MAX_SEGMENTS} are possible")
        _, _, image_chip_id, _, min_revision, max_revision, _, has_digest = (
            _EXTENDED_HEADER.unpack_from(data, _HEADER.size)
        )
        if chip_id is not None and image_chip_id != chip_id:
            raise ApplicationImageError(
                f"image is for {chip_name(image_chip_id)}, this is {chip_name(chip_id)}"
            )
        segments = []
        at = _HEADERS_SIZE_BYTES
        for number in range(count):
            if at + _SEGMENT.size > len(data):
                raise ApplicationImageError(f"image is cut off before segment {number}")
            address, size_bytes = _SEGMENT.unpack_from(data, at)
            at += _SEGMENT.size
            if size_bytes % 4 or at + size_bytes > len(data):
                raise ApplicationImageError(
                    f"segment {number} claims {size_bytes} bytes; {len(data) - at} follow"
                )
            segments.append(Segment(address, bytes(data[at : at + size_bytes])))
            at += size_bytes
        at += _CHECKSUM_ROW_BYTES - at % _CHECKSUM_ROW_BYTES
        if at > len(data):
            raise ApplicationImageError("image is cut off before its checksum")
        checksum = _checksum(segments)
        if data[at - 1] != checksum:
            raise ApplicationImageError(
                f"checksum is 0x{data[at - 1]:02x}, the segments give 0x{checksum:02x}"
            )
        digest = b""
        if has_digest:
            digest = bytes(data[at : at + _DIGEST_SIZE_BYTES])
            if digest != hashlib.sha256(data[:at]).digest():
                raise ApplicationImageError("SHA-256 at the end does not match the image")
            at += _DIGEST_SIZE_BYTES
        return cls(
            image_chip_id, entry, tuple(segments), flash_mode, flash_size,
            min_revision, max_revision, bool(has_digest), at, digest,
        )  # fmt: skip


def chip_name(chip_id: int) -> str:
    """Return the name of a chip for messages."""
    names = {number: name for name, number in CHIP_IDS.items()}
    return names.get(chip_id, f"chip id {chip_id}")


def _checksum(segments: Sequence[Segment]) -> int:
    checksum = _CHECKSUM_SEED
    for segment in segments:
        # Folding words instead of bytes: the checksum is an exclusive or, so halves can be folded.
        folded = reduce(xor, memoryview(segment.data).cast("I"), 0)
        folded ^= folded >> 16
        checksum ^= (folded ^ folded >> 8) & 0xFF
    return checksum
