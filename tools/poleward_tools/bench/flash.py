"""Flashing several paced virtual boards at once, from the first connection to the last record.

Held equal: every board gets the same shared regions and an identity of its own, each region is
verified, the record is on the disk. MicroPython is stood in for by 1.5 MB that compress as a real
build does; the self-test is left out, because nothing of it goes over the line that is measured.
"""

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from poleward_manifest import envelope as envelopes
from poleward_tools.flash_image.app_image import CHIP_IDS, AppDescription, AppImage, Segment
from poleward_tools.flashing.outcome import Result
from poleward_tools.flashing.production import Production, collect
from poleward_tools.flashing.run import StationRun
from poleward_tools.flashing.slot import Plan, PreparedRegion, line_limit_s, prepare_regions
from poleward_tools.flashing.station import Station
from poleward_tools.flashing.writer_link import WriterNursery
from poleward_tools.releases import build, folder, keys

_BOARDS = 8
_BAUD = 921_600
_CHIP = "esp32"
_APPLICATION_BYTES = 1_500_000
# Real builds of MicroPython for the chip come down to 63 to 66 % with zlib.
_RANDOM_SHARE = 0.63
_READY_S = 60.0
# What the ROM of the chip takes at a time, and its answer: delimiters, header, status.
_BLOCK_BYTES = 1024
_REPLY_BYTES = 14


class BenchError(Exception):
    """The measurement went wrong; its figures would mean nothing."""


def run() -> dict[str, Any]:
    """Flash the boards and compare the time with what the line alone would take.

    Raises:
        BenchError: a board did not pass.
    """
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as exits:
        place = Path(name)
        production = _production(place)
        prepared = prepare_regions(production, place)
        ports = exits.enter_context(_running_boards(place))
        station = exits.enter_context(Station.open(place / "station"))
        protocol_limit_s = _protocol_limit_s(prepared)
        plan = Plan(production, prepared, baud=_BAUD, self_test_s=0)
        started_at = time.perf_counter()
        with WriterNursery() as nursery:
            run = StationRun(station, nursery, plan, lambda *_: None, retries=0)
            outcomes = run.once(ports)
        seconds = time.perf_counter() - started_at
    failed = [f"{o.slot}: {o.reason}" for o in outcomes if o.result is not Result.PASSED]
    if failed:
        raise BenchError("; ".join(failed))
    limit_s = line_limit_s(prepared, _BAUD)
    return {
        "boards": _BOARDS,
        "baud": _BAUD,
        "written_bytes_per_board": outcomes[0].written_bytes,
        "seconds": round(seconds, 2),
        "slowest_board_s": max(outcome.duration_s for outcome in outcomes),
        "line_limit_s": round(limit_s, 2),
        "protocol_limit_s": round(protocol_limit_s, 2),
        "efficiency": round(limit_s / seconds, 3),
    }


def _protocol_limit_s(prepared: Sequence[PreparedRegion]) -> float:
    """Return the time on the line with the ROM's frames around the blocks and its replies.

    One after the other: the ROM has no room for a block before it has answered the one before.
    """
    # Loads esptool, which the station itself does not.
    from poleward_tools.flashing.board_writer import block_frame

    size_bytes = 0
    for part in prepared:
        content = part.path.read_bytes()
        for number, at in enumerate(range(0, len(content), _BLOCK_BYTES)):
            frame = block_frame(content[at : at + _BLOCK_BYTES], number)
            size_bytes += len(frame) + _REPLY_BYTES
    return size_bytes * 10 / _BAUD


def _production(place: Path) -> Production:
    firmware, release = place / "firmware", place / "release"
    firmware.mkdir()
    loader = AppImage(CHIP_IDS[_CHIP], 0x40080000, (Segment(0x40080000, bytes(20_000)),))
    (firmware / "bootloader.bin").write_bytes(loader.encode())
    description = AppDescription("1.29", "micropython").encode()
    dense_bytes = int(_APPLICATION_BYTES * _RANDOM_SHARE) // 4 * 4
    code = random.Random(1).randbytes(dense_bytes) + bytes(_APPLICATION_BYTES - dense_bytes)
    image = AppImage(CHIP_IDS[_CHIP], 0x40080000, (Segment(0x3F400020, description + code),))
    (firmware / "micropython.bin").write_bytes(image.encode())
    key = keys.create_key(place / "key.pem")
    built = build.build_release("1.0.0", 1)
    envelope = envelopes.sign(built.manifest, [key])
    folder.save(release, folder.StoredRelease(built.bundle, envelope))
    return collect(
        chip=_CHIP, firmware=firmware, release=release, gateway_uri="coap://127.0.0.1:5683",
        release_keys=[keys.public_path(place / "key.pem")],
    )  # fmt: skip


@contextlib.contextmanager
def _running_boards(place: Path) -> Iterator[dict[str, str]]:
    """Run the boards in processes of their own; they are other machines."""
    processes = []
    ports = {}
    try:
        for number in range(_BOARDS):
            process = subprocess.Popen(
                [
                    sys.executable, "-m", "poleward_tools", "board", "run", "--json",
                    "--flash", str(place / f"flash-{number}.bin"), "--chip", _CHIP,
                    "--mac", f"24ec4a0000{number:02x}", "--pace", str(_BAUD),
                ],
                stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            )  # fmt: skip
            processes.append(process)
        for number, process in enumerate(processes):
            assert process.stdout is not None
            ports[f"slot{number}"] = json.loads(process.stdout.readline())["port"]
        yield ports
    finally:
        for process in processes:
            os.kill(process.pid, signal.SIGTERM)
        for process in processes:
            process.wait(_READY_S)
            if process.stdout:
                process.stdout.close()
