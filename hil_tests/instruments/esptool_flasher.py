"""Flashes a board with the real esptool, as a process of its own.

Not what is written; `flash_parts` makes that.
"""

import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import ClassVar

import attr
from labgrid.driver import Driver
from labgrid.factory import target_factory
from labgrid.resource import NetworkSerialPort, RawSerialPort

from hil_tests.instruments.console import BoardConsole, port_url
from hil_tests.instruments.errors import FlashError, InfrastructureError
from hil_tests.instruments.protocols import FlashProtocol

_MAC = re.compile(r"^MAC:\s+((?:[0-9a-f]{2}:){5}[0-9a-f]{2})", re.MULTILINE)
_CHIP = re.compile(r"^(?:Detecting|Connected to).*?(ESP32(?:-[A-Z]\d)?)", re.MULTILINE)
# What esptool 5 says when it is not the board's flash that is at fault.
_NO_PORT = re.compile(r"[Cc]ould not open|port is busy|doesn't exist|No such file")
_NO_SYNC = re.compile(r"Failed to connect|No serial data received|Wrong boot mode")


@target_factory.reg_driver
@attr.s(eq=False)
class EsptoolDriver(Driver, FlashProtocol):
    """Runs esptool on the board's port while the console leaves it alone.

    Args:
        baud: rate for writing.
        timeout_s: for one run of the tool.
    """

    bindings: ClassVar[dict[str, object]] = {
        "port": {RawSerialPort, NetworkSerialPort, "VirtualBoardDriver"},
        "console": BoardConsole,
    }
    baud = attr.ib(default=921600, validator=attr.validators.instance_of(int))
    timeout_s = attr.ib(default=240, validator=attr.validators.instance_of(int))

    @Driver.check_active
    def read_mac(self) -> bytes:
        """Read the address that is burnt into the chip."""
        found = _MAC.search(self._esptool("read-mac"))
        if not found:
            raise InfrastructureError("no sync: esptool shows no address")
        return bytes.fromhex(found[1].replace(":", ""))

    @Driver.check_active
    def read_chip(self) -> str:
        """Tell which chip answers, as `esp32`, `esp32c3` and so on."""
        found = _CHIP.search(self._esptool("read-mac"))
        if not found:
            raise InfrastructureError("no sync: esptool recognises no chip")
        return found[1].lower().replace("-", "")

    @Driver.check_active
    def read(self, offset: int, size_bytes: int) -> bytes:
        """Read a part of the flash."""
        with TemporaryDirectory() as folder:
            path = Path(folder) / "read.bin"
            self._esptool("read-flash", hex(offset), hex(size_bytes), str(path))
            return path.read_bytes()

    @Driver.check_active
    def flash(self, parts: Mapping[int, bytes]) -> None:
        """Write each content at its offset and verify it."""
        with TemporaryDirectory() as folder:
            arguments = []
            for offset, content in sorted(parts.items()):
                path = Path(folder) / f"{offset:x}.bin"
                path.write_bytes(content)
                arguments += [hex(offset), str(path)]
            shown = self._esptool("--baud", str(self.baud), "write-flash", "--compress", *arguments)
        verified = shown.count("Hash of data verified")
        if verified != len(parts):
            raise FlashError(f"{verified} of {len(parts)} parts verified:\n{shown[-2000:]}")

    def _esptool(self, *arguments: str) -> str:
        url = port_url(self.port)
        command = [
            sys.executable, "-m", "esptool", "--no-stub", "--port", url,
            "--after", "no-reset", *arguments,
        ]  # fmt: skip
        with self.console.released():
            try:
                done = subprocess.run(
                    command, capture_output=True, text=True, timeout=self.timeout_s, check=False
                )
            except subprocess.TimeoutExpired as error:
                raise FlashError(f"esptool did not end in {self.timeout_s} s") from error
        shown = done.stdout + done.stderr
        self.console.note(f"esptool {' '.join(arguments[:3])} ended with {done.returncode}")
        if done.returncode == 0:
            return shown
        end = shown.strip()[-600:]
        if _NO_PORT.search(shown):
            raise InfrastructureError(f"no port: {url}\n{end}")
        if _NO_SYNC.search(shown):
            raise InfrastructureError(f"no sync: {url} does not answer esptool\n{end}")
        raise FlashError(f"esptool ended with {done.returncode}:\n{end}")
