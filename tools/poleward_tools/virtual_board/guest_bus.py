"""What the guest asks of its board: changes of the flash, NVS, resets, watchdog, surroundings.

Not its console, and not reading the flash; that goes straight to the file.
"""

import asyncio
import json
import logging
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import IntEnum

from poleward_tools.flash_image.errors import NvsError, NvsFullError
from poleward_tools.flash_image.nvs import Integer, NvsPartition
from poleward_tools.flash_image.nvs_page import ItemType
from poleward_tools.virtual_board.boot_rom import ResetReason
from poleward_tools.virtual_board.console import CTRL_C, Console
from poleward_tools.virtual_board.flash_chip import (
    SECTOR_SIZE_BYTES,
    FlashRangeError,
    NorFlash,
)
from poleward_tools.virtual_board.lamp_output import LampOutput
from poleward_tools.virtual_board.link import Link
from poleward_tools.virtual_board.partitions import AppPartitions, PartitionError
from poleward_tools.virtual_board.surroundings import Surroundings

_READ_BYTES = 4096
_log = logging.getLogger(__name__)


class Request(IntEnum):
    """What the guest asks over its bus; the numbers are those of `guest/bus.py`."""

    PROGRAM = 1
    ERASE = 2
    RESET = 3
    NVS_GET = 4
    NVS_SET = 5
    NVS_ERASE = 6
    FEED_WATCHDOG = 7
    KEYBOARD_INTERRUPT = 8
    SETTING = 9
    AIR = 10
    ROUTE = 11
    PRESS_CTRL_C = 12
    PARTITIONS = 13
    APP_OFFSET = 14
    SET_BOOT = 15
    MARK_APP_VALID = 16
    LAMP = 17


class Result(IntEnum):
    """What the guest gets back; the NVS errors are ESP-IDF's, negated."""

    DONE = 0
    FAILED = -1
    NVS_NOT_FOUND = -0x1102
    NVS_NO_SPACE = -0x1105
    NVS_INVALID_NAME = -0x1106


@dataclass(slots=True)
class Outside:
    """What a board is connected to beyond its flash and its serial line."""

    surroundings: Surroundings = field(default_factory=Surroundings)
    link: Link = field(default_factory=Link)
    lamp: LampOutput = field(default_factory=LampOutput)


class GuestBus:
    """Answers the guest's requests in order."""

    def __init__(
        self,
        end: socket.socket,
        flash: NorFlash,
        partitions: AppPartitions,
        nvs: NvsPartition | None,
        console: Console,
        fed: socket.socket,
        outside: "Outside",
    ) -> None:
        self._end = end
        self._end.setblocking(False)
        self._fed = fed
        self._fed.setblocking(False)
        self._flash = flash
        self._partitions = partitions
        self._nvs = nvs
        self.console = console
        self._outside = outside
        self._watchdog: asyncio.TimerHandle | None = None
        self._bitten = asyncio.Event()

    async def serve(self) -> ResetReason:
        """Answer until the guest resets the chip or its watchdog does."""
        loop = asyncio.get_running_loop()
        loop.add_reader(self._fed, self._take_feed)
        serving = asyncio.create_task(self._serve())
        biting = asyncio.create_task(self._bitten.wait())
        try:
            await asyncio.wait((serving, biting), return_when=asyncio.FIRST_COMPLETED)
            return await serving if serving.done() else ResetReason.WATCHDOG
        finally:
            loop.remove_reader(self._fed)
            if self._watchdog:
                self._watchdog.cancel()
            for task in (serving, biting):
                task.cancel()
            await asyncio.gather(serving, biting, return_exceptions=True)

    async def _serve(self) -> ResetReason:
        loop = asyncio.get_running_loop()
        buffer = bytearray()

        async def take(size_bytes: int) -> bytes:
            while len(buffer) < size_bytes:
                more = await loop.sock_recv(self._end, 65536)
                if not more:
                    # The guest's end is held open by us: this is never its doing.
                    await asyncio.Event().wait()
                buffer.extend(more)
            taken = bytes(buffer[:size_bytes])
            del buffer[:size_bytes]
            return taken

        while True:
            operation, sequence, size_bytes = struct.unpack("<BBH", await take(4))
            payload = await take(size_bytes)
            if operation == Request.RESET:
                return ResetReason.SOFTWARE
            if operation == Request.PRESS_CTRL_C:
                self.console.press_ctrl_c()
                continue
            result, content = self._carry_out(operation, payload)
            reply = struct.pack("<BBHi", sequence, 0, len(content), result) + content
            await loop.sock_sendall(self._end, reply)

    def _carry_out(self, operation: int, payload: bytes) -> tuple[int, bytes]:
        actions: dict[int, Callable[[bytes], tuple[int, bytes]]] = {
            Request.PROGRAM: self._program,
            Request.ERASE: self._erase,
            Request.NVS_GET: self._nvs_get,
            Request.NVS_SET: self._nvs_set,
            Request.NVS_ERASE: self._nvs_erase,
            Request.FEED_WATCHDOG: self._feed_watchdog,
            Request.KEYBOARD_INTERRUPT: self._keyboard_interrupt,
            Request.SETTING: self._setting,
            Request.AIR: self._air,
            Request.ROUTE: self._route,
            Request.PARTITIONS: self._list_partitions,
            Request.APP_OFFSET: self._app_offset,
            Request.SET_BOOT: self._set_boot,
            Request.MARK_APP_VALID: self._mark_app_valid,
            Request.LAMP: self._lamp,
        }
        try:
            return actions[operation](payload)
        except (KeyError, struct.error, FlashRangeError, OSError):
            return Result.FAILED, b""
        except PartitionError as error:
            _log.info("refused: %s", error)
            return -error.code, b""
        except NvsFullError:
            return Result.NVS_NO_SPACE, b""
        except NvsError:
            return Result.NVS_INVALID_NAME, b""

    def _program(self, payload: bytes) -> tuple[int, bytes]:
        offset, data = struct.unpack_from("<I", payload)[0], payload[4:]
        if self._partitions.is_write_protected(offset, len(data)):
            return Result.FAILED, b""
        self._flash.program(offset, data)
        return Result.DONE, b""

    def _erase(self, payload: bytes) -> tuple[int, bytes]:
        (offset,) = struct.unpack("<I", payload)
        if self._partitions.is_write_protected(offset, SECTOR_SIZE_BYTES):
            return Result.FAILED, b""
        self._flash.erase_sector(offset)
        return Result.DONE, b""

    def _nvs_get(self, payload: bytes) -> tuple[int, bytes]:
        is_blob, namespace, key, _ = _nvs_names(payload)
        value = self._nvs.get(namespace, key) if self._nvs else None
        if isinstance(value, bytes) and is_blob:
            return Result.DONE, value
        if isinstance(value, Integer) and value.type is ItemType.I32 and not is_blob:
            return Result.DONE, struct.pack("<i", value.value)
        return Result.NVS_NOT_FOUND, b""

    def _nvs_set(self, payload: bytes) -> tuple[int, bytes]:
        is_blob, namespace, key, value = _nvs_names(payload)
        if self._nvs is None:
            return Result.NVS_NOT_FOUND, b""
        stored = value if is_blob else Integer(ItemType.I32, struct.unpack("<i", value)[0])
        self._nvs.set(namespace, key, stored)
        return Result.DONE, b""

    def _nvs_erase(self, payload: bytes) -> tuple[int, bytes]:
        _, namespace, key, _ = _nvs_names(payload)
        was_there = self._nvs is not None and self._nvs.erase(namespace, key)
        return (Result.DONE if was_there else Result.NVS_NOT_FOUND), b""

    def _feed_watchdog(self, payload: bytes) -> tuple[int, bytes]:
        self._wind_watchdog(payload)
        return Result.DONE, b""

    def _take_feed(self) -> None:
        """Take every time in which the guest promised to feed it again; the last one counts."""
        self._wind_watchdog(self._fed.recv(_READ_BYTES)[-4:])

    def _wind_watchdog(self, timeout: bytes) -> None:
        timeout_ms = int.from_bytes(timeout, "little")
        if self._watchdog:
            self._watchdog.cancel()
        self._watchdog = asyncio.get_running_loop().call_later(timeout_ms / 1000, self._bitten.set)

    def _keyboard_interrupt(self, payload: bytes) -> tuple[int, bytes]:
        self.console.set_interrupt(payload == bytes([CTRL_C]))
        return Result.DONE, b""

    def _setting(self, payload: bytes) -> tuple[int, bytes]:
        settings = self._outside.surroundings.settings()
        return Result.DONE, json.dumps(settings[payload.decode()]).encode()

    def _air(self, payload: bytes) -> tuple[int, bytes]:
        offset, size_bytes = struct.unpack("<IH", payload)
        return Result.DONE, self._outside.surroundings.air[offset : offset + size_bytes]

    def _route(self, payload: bytes) -> tuple[int, bytes]:
        (port,) = struct.unpack_from("<H", payload)
        host, link_port = self._outside.link.route(payload[2:].decode(), port)
        return Result.DONE, struct.pack("<H", link_port) + host.encode()

    def _list_partitions(self, _: bytes) -> tuple[int, bytes]:
        return Result.DONE, b"".join(part.encode() for part in self._partitions.table)

    def _app_offset(self, payload: bytes) -> tuple[int, bytes]:
        """Tell where the application lies that runs (1) or starts next (0)."""
        part = self._partitions.running if payload[0] else self._partitions.boot
        return part.offset, b""

    def _set_boot(self, payload: bytes) -> tuple[int, bytes]:
        self._partitions.set_boot(struct.unpack("<I", payload)[0])
        return Result.DONE, b""

    def _mark_app_valid(self, _: bytes) -> tuple[int, bytes]:
        self._partitions.mark_app_valid()
        return Result.DONE, b""

    def _lamp(self, payload: bytes) -> tuple[int, bytes]:
        self._outside.lamp.drive(*struct.unpack("<H", payload))
        return Result.DONE, b""


def _nvs_names(payload: bytes) -> tuple[bool, str, str, bytes]:
    namespace, key, value = payload[1:].split(b"\0", 2)
    return bool(payload[0]), namespace.decode(), key.decode(), value
