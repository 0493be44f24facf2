"""One life of a node on the MicroPython VM, from power-up to reset or power cut; never imported.

The node's own boot.py, slots, updater and installer run on MicroPython's LittleFS over a NOR flash
in a file, images in partitions of another. The link is a folder with what the gateway would serve.

Run as `micropython power_cut_on_vm.py MODULES PLACE FLASH CUT_AT`. Operations count from 1 over all
lives: each page programmed, each sector erased, each value set in NVS. The operation CUT_AT is torn
and the node stops dead; 0 for never. Exit code: 0 the new release is confirmed, 3 the node resets,
9 the power was cut, 1 what boots is not a whole release.
"""

# mypy: ignore-errors
import asyncio
import hashlib
import json
import os
import sys

import vfs

modules, place, flash_path, cut_at = sys.argv[1:]
sys.path[:] = [modules, ".frozen"]

import boot

from nodelink import release_format

# Small pieces, so that a small image has some.
release_format.IMAGE_PIECE_BYTES = 8192

from partitions_on_vm import Partitions

from node.ota.errors import FetchRefused
from node.ota.slots import NAMES, Slots
from node.ota.trust import Trust
from node.ota.updater import Updater

_SECTOR_BYTES = 4096
_PAGE_BYTES = 256
_BLOCK_BYTES = 1024
_ROOT = "/flash"
_CONFIRMED, _NO_RELEASE, _RESET, _CUT = 0, 1, 3, 9


class Power:
    """Counts operations on flash and NVS; at one of them it goes."""

    def __init__(self, operations, cut_at):
        self.operations = operations
        self.is_off = False
        self._cut_at = cut_at

    def is_cut(self):
        """Count an operation and tell whether it is the one that is torn."""
        if self.is_off:
            raise SystemExit(_CUT)
        self.operations += 1
        self.is_off = self.operations == self._cut_at
        return self.is_off


class Flash:
    """A NOR flash as VfsLfs2's block device: programming only clears bits, an erase takes a sector.

    A torn program leaves the first part of its page, a torn erase the second part of its sector.
    """

    def __init__(self, file, size_bytes, power):
        self._file = file
        self._size_bytes = size_bytes
        self._power = power

    def readblocks(self, block, buffer, offset=0):
        self._file.seek(block * _SECTOR_BYTES + offset)
        self._file.readinto(buffer)

    def writeblocks(self, block, data, offset=None):
        at = block * _SECTOR_BYTES
        if offset is None:
            for sector in range(len(data) // _SECTOR_BYTES):
                self._erase(at + sector * _SECTOR_BYTES)
        at += offset or 0
        for start in range(0, len(data), _PAGE_BYTES):
            self._program(at + start, bytes(data[start : start + _PAGE_BYTES]))

    def ioctl(self, operation, argument):
        if operation == 4:
            return self._size_bytes // _SECTOR_BYTES
        if operation == 5:
            return _SECTOR_BYTES
        if operation == 6:
            self._erase(argument * _SECTOR_BYTES)
        return 0

    def _program(self, at, data):
        is_cut = self._power.is_cut()
        if is_cut:
            data = data[: self._power.operations * 7 % (len(data) + 1)]
        self._file.seek(at)
        before = int.from_bytes(self._file.read(len(data)), "little")
        after = before & int.from_bytes(data, "little")
        self._file.seek(at)
        self._file.write(after.to_bytes(len(data), "little"))
        if is_cut:
            raise SystemExit(_CUT)

    def _erase(self, at):
        is_cut = self._power.is_cut()
        kept = self._power.operations * 61 % _SECTOR_BYTES if is_cut else 0
        self._file.seek(at + kept)
        self._file.write(b"\xff" * (_SECTOR_BYTES - kept))
        if is_cut:
            raise SystemExit(_CUT)


class Nvs:
    """A namespace of NVS in a file: each set happens as a whole or not at all, as on the chip."""

    def __init__(self, path, power):
        self._path = path
        self._power = power
        try:
            with open(path) as file:
                self._values = json.load(file)
        except OSError:
            self._values = {}

    def set_i32(self, key, value):
        self._set(key, value)

    def get_i32(self, key):
        if key not in self._values:
            raise OSError(-0x1102)
        return self._values[key]

    def set_blob(self, key, value):
        self._set(key, bytes(value).hex())

    def get_blob(self, key, buffer):
        if key not in self._values:
            raise OSError(-0x1102)
        value = bytes.fromhex(self._values[key])
        buffer[: len(value)] = value
        return len(value)

    def commit(self):
        pass

    def _set(self, key, value):
        if self._power.is_cut():
            raise SystemExit(_CUT)
        self._values[key] = value
        with open(self._path, "w") as file:
            json.dump(self._values, file)


async def fetch(path, sink, *, start_block):
    """Serve what the gateway would, from a file."""
    try:
        file = open(place + "/" + "-".join(path), "rb")
    except OSError:
        raise FetchRefused(False)
    with file:
        file.seek(start_block * _BLOCK_BYTES)
        while True:
            block = file.read(_BLOCK_BYTES)
            sink.write(memoryview(block))
            if len(block) < _BLOCK_BYTES:
                return


def digest_of(path):
    """Hash a file."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        piece = file.read(_BLOCK_BYTES)
        while piece:
            digest.update(piece)
            piece = file.read(_BLOCK_BYTES)
    return digest.digest().hex()


def release_in(slot, releases):
    """Tell which release a slot holds; None for none that is whole."""
    try:
        found = digest_of(NAMES[slot] + "/release.cbor"), digest_of(NAMES[slot] + "/bundle")
    except OSError:
        return None
    for name, release in releases.items():
        if found == (release["envelope"], release["component"]):
            return name
    return None


def open_partitions(file, power, about):
    """Open the partitions for images; None for a node that has none."""
    image = about["image"]
    if not image:
        return None
    flash = Flash(file, 0, power)
    return Partitions(flash, image["sectors"], image["size_bytes"])


async def has_image(partition, digest, size_bytes):
    """Tell whether a partition holds an image."""
    from node.ota import image
    from node.ota.release import Part

    return await image.holds(partition, Part(bytes.fromhex(digest), size_bytes))


def live(power, nvs, partitions, about):
    """Power up, boot what bootloader and boot.py choose, and update or confirm; return the code."""
    image = about["image"]
    started = partitions.start() if image else None
    slot = boot.choose_slot(nvs, boot.is_whole, started.info()[2] if image else 0)
    running = release_in(slot, about["releases"])
    if running is None:
        return _NO_RELEASE
    if image and not asyncio.run(has_image(started, image[running], image["size_bytes"])):
        print("bundle and image are of two releases")
        return _NO_RELEASE
    slots = Slots(nvs, slot, partitions)
    if running == "new":
        if not slots.is_on_trial:
            return _CONFIRMED
        slots.confirm()
        return _RESET
    updater = Updater(
        slots,
        fetch,
        trust=Trust(bytes.fromhex(about["trusted_keys"]), 1),
        class_id=bytes.fromhex(about["class_id"]),
        sequence=about["releases"]["old"]["sequence"],
    )
    updater.start("coap:///r/" + about["releases"]["new"]["envelope"])
    asyncio.run(updater.download())
    if updater.result:
        print("not downloaded:", updater.result, slots.failure)
    asyncio.run(updater.install())
    return _RESET


def main():
    """Live, and keep the count of operations for the next life."""
    with open(place + "/about.json") as file:
        about = json.load(file)
    counted = flash_path + ".operations"
    try:
        with open(counted) as file:
            operations = int(file.read())
    except OSError:
        operations = 0
    power = Power(operations, int(cut_at))
    flash_file = open(flash_path, "r+b")
    try:
        vfs.mount(vfs.VfsLfs2(Flash(flash_file, os.stat(flash_path)[6], power)), _ROOT)
        os.chdir(_ROOT)
        apps_file = open(flash_path + ".apps", "r+b") if about["image"] else None
        partitions = open_partitions(apps_file, power, about)
        code = live(power, Nvs(flash_path + ".nvs", power), partitions, about)
    except SystemExit:
        code = _CUT
    except Exception as error:
        sys.print_exception(error)
        # What the node does with an error after the cut never happened.
        code = _CUT if power.is_off else _NO_RELEASE
    if power.is_off:
        code = _CUT
    with open(counted, "w") as file:
        file.write(str(power.operations))
    sys.exit(code)


main()
