"""LittleFS images: MicroPython mounts ours, ours mounts MicroPython's, nothing is formatted."""

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from poleward_tools.flash_image.errors import FileSystemError
from poleward_tools.flash_image.littlefs import FileSystemImage

SIZE_BYTES = 0xF0000
FILES = {
    "/boot.py": b"import sys\n",
    "/main.py": b"print('main')\n",
    "/slot_a/node/app.mpy": bytes(range(256)) * 40,
    "/data/empty": b"",
}

# A block device over a file, as the virtual board and an ESP32 give to VfsLfs2.
MOUNT = """
import vfs, os
class Device:
    def __init__(self, path):
        self.file = open(path, 'r+b')
    def readblocks(self, block, buffer, offset=0):
        self.file.seek(block * 4096 + offset)
        self.file.readinto(buffer)
    def writeblocks(self, block, buffer, offset=0):
        self.file.seek(block * 4096 + offset)
        self.file.write(buffer)
    def ioctl(self, op, argument):
        if op == 4: return {blocks}
        if op == 5: return 4096
        if op == 6:
            self.file.seek(argument * 4096)
            self.file.write(b'\\xff' * 4096)
        return 0
vfs.mount(Device({path!r}), '/flash')
with open('/flash/data/made', 'wb') as file:
    file.write(open('/flash/slot_a/node/app.mpy', 'rb').read())
print(sorted(os.listdir('/flash')))
"""


def image_of(files: dict[str, bytes], size_bytes: int = SIZE_BYTES) -> FileSystemImage:
    image = FileSystemImage.format(size_bytes)
    image.write_all(files)
    return image


def test_micropython_mounts_reads_and_writes_the_image(tmp_path: Path) -> None:
    path = tmp_path / "vfs.bin"
    path.write_bytes(image_of(FILES).encode())
    script = tmp_path / "mount.py"
    script.write_text(MOUNT.format(path=str(path), blocks=SIZE_BYTES // 4096))
    micropython = Path(sys.executable).with_name("micropython")
    shown = subprocess.run(
        [str(micropython), str(script)], capture_output=True, text=True, check=True, timeout=60
    ).stdout
    assert shown.strip() == "['boot.py', 'data', 'main.py', 'slot_a']"
    expected = FILES | {"/data/made": FILES["/slot_a/node/app.mpy"]}
    assert FileSystemImage.mount(path.read_bytes()).files() == expected


def test_equal_files_give_equal_images() -> None:
    assert image_of(FILES).encode() == image_of(dict(reversed(FILES.items()))).encode()


def test_erased_partition_is_not_formatted() -> None:
    content = b"\xff" * SIZE_BYTES
    with pytest.raises(FileSystemError, match="no LittleFS for 240 blocks"):
        FileSystemImage.mount(content)


def test_image_for_another_partition_size_is_refused() -> None:
    with pytest.raises(FileSystemError, match="no LittleFS for 128 blocks"):
        FileSystemImage.mount(image_of(FILES).encode()[: 128 * 4096])


def test_files_that_do_not_fit_are_refused() -> None:
    with pytest.raises(FileSystemError, match=r"cannot write /big: the partition is full"):
        image_of({"/big": bytes(20 * 4096)}, 16 * 4096)


def test_missing_file_and_odd_size_are_refused() -> None:
    with pytest.raises(FileSystemError, match="cannot read /nothing"):
        image_of(FILES).read("/nothing")
    with pytest.raises(FileSystemError, match="whole blocks"):
        FileSystemImage.format(4097)


names = st.text("abcxyz_.", min_size=1, max_size=20).filter(lambda name: name.strip("."))


@given(st.dictionaries(names.map("/d/{}".format), st.binary(max_size=9000), max_size=8))
@settings(max_examples=40)
def test_any_files_survive_a_round_trip(files: dict[str, bytes]) -> None:
    image = image_of(files, 64 * 4096)
    assert FileSystemImage.mount(image.encode()).files() == files
    assert image.used_bytes <= 64 * 4096
