"""A release finds the room it was promised, on MicroPython's LittleFS as large as a board's.

Only there: the other Python has no LittleFS and passes.
"""

import asyncio
import hashlib
import os
import sys

from vm.scratch import Scratch

from node.ota import installer
from node.ota.archives import Archives
from node.ota.errors import UpdateError
from node.ota.release import Part
from node.store.report_queue import ReportQueue

_BLOCKS, _BLOCK_BYTES = 240, 4096  # the file system of a 4 MiB board
_BUNDLE_BYTES = 102000
_STORED_MAX_BYTES = 32768


class _Flash:
    """A block device in a file."""

    def __init__(self, path):
        with open(path, "wb") as file:
            for _ in range(_BLOCKS):
                file.write(b"\xff" * _BLOCK_BYTES)
        self._file = open(path, "r+b")

    def readblocks(self, block, buffer, offset=0):
        self._file.seek(block * _BLOCK_BYTES + offset)
        self._file.readinto(buffer)

    def writeblocks(self, block, data, offset=0):
        self._file.seek(block * _BLOCK_BYTES + offset)
        self._file.write(data)

    def ioctl(self, operation, argument):
        return {4: _BLOCKS, 5: _BLOCK_BYTES}.get(operation, 0)


def _pieces(size_bytes):
    """Give as many bytes as asked, 512 at a time, no two pieces the same."""
    for at in range(0, size_bytes, 512):
        yield (hashlib.sha256(b"%d" % at).digest() * 16)[: size_bytes - at]


def _write(path, size_bytes):
    with open(path, "wb") as file:
        for piece in _pieces(size_bytes):
            file.write(piece)


def _write_archive(archives):
    """Write the largest archive of a bundle: DEFLATE blocks that are stored (RFC 1951, 3.2.4)."""
    digest = hashlib.sha256()
    for piece in _pieces(_BUNDLE_BYTES):
        digest.update(piece)
    part = Part(digest.digest(), _BUNDLE_BYTES)
    with open(archives.path(part), "wb") as file:
        written = 0
        for piece in _pieces(_BUNDLE_BYTES):
            if written % _STORED_MAX_BYTES == 0:
                count = min(_STORED_MAX_BYTES, _BUNDLE_BYTES - written)
                is_last = written + count == _BUNDLE_BYTES
                file.write(bytes((is_last,)) + count.to_bytes(2, "little"))
                file.write((count ^ 0xFFFF).to_bytes(2, "little"))
            file.write(piece)
            written += len(piece)
    return part


def _make_node():
    """Lay out a node's files: both slots full, and as many reports and events as ever wait."""
    for slot in ("slot_a", "slot_b"):
        os.mkdir(slot)
        _write(slot + "/bundle", _BUNDLE_BYTES)
        _write(slot + "/release.cbor", 600)
    for name in ("boot.py", "main.py", "slot_files.py"):
        _write(name, 4000)
    queue = ReportQueue("data")
    while not queue.dropped:
        queue.put(bytes(400))
    for _ in range(20):
        queue.put_event(bytes(100))


def _update():
    """Do what an update does with the flash, from the check on."""
    installer.check_room("", _BUNDLE_BYTES, "slot_b")
    archives = Archives("data/", None, 1, lambda: True)
    part = _write_archive(archives)
    asyncio.run(installer.install(part, bytes(600), archives, "slot_b", "slot_a"))
    archives.keep([])


def _is_promised():
    try:
        installer.check_room("", _BUNDLE_BYTES, "slot_b")
    except UpdateError:
        return False
    return True


def _fill_up():
    """Leave no more room than is just enough."""
    for blocks in (16, 1):
        number = 0
        while _is_promised():
            _write("filling-%d-%d" % (blocks, number), (blocks - 1) * _BLOCK_BYTES + 600)
            number += 1
        while not _is_promised():
            number -= 1
            os.remove("filling-%d-%d" % (blocks, number))


def test_what_is_promised_is_there_also_beside_a_full_backlog():
    if sys.implementation.name != "micropython":
        return
    import vfs

    with Scratch() as scratch:
        flash = _Flash(scratch + "/flash")
        vfs.VfsLfs2.mkfs(flash)
        vfs.mount(vfs.VfsLfs2(flash), "/board")
        before = os.getcwd()
        os.chdir("/board")
        try:
            _make_node()
            _update()
            _fill_up()
            _update()
        finally:
            os.chdir(before)
            vfs.umount("/board")
