"""The record and identity files: what was said to be there is there after any interruption."""

import json
from pathlib import Path

import pytest

from poleward_tools.flash_image.node_nvs import new_identity
from poleward_tools.flashing.board_writer import block_frame
from poleward_tools.flashing.errors import RecordError, StationError
from poleward_tools.flashing.identity_file import load_identity, save_identity
from poleward_tools.flashing.record import PASSED, StationRecord

from .conftest import MACS


def test_torn_last_line_is_dropped_and_that_is_recorded(tmp_path: Path) -> None:
    path = tmp_path / "record.jsonl"
    record = StationRecord(path, lambda: 1_800_000_000.0)
    record.append(PASSED, mac="a")
    record.append(PASSED, mac="b")
    record.close()
    whole = path.read_bytes()
    first_line_bytes = whole.index(b"\n") + 1
    for cut in range(first_line_bytes + 1, len(whole)):
        path.write_bytes(whole[:cut])
        reopened = StationRecord(path, lambda: 1_800_000_001.0)
        assert set(reopened.all_passed()) == {"a"}
        reopened.append(PASSED, mac="c")
        reopened.close()
        entries = [json.loads(line) for line in path.read_text().splitlines()]
        assert [entry["event"] for entry in entries] == [PASSED, "torn", PASSED]


def test_damage_in_the_middle_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "record.jsonl"
    path.write_bytes(b'{"event":"begun"}\n{"eve\n{"event":"begun"}\n')
    with pytest.raises(RecordError, match=r"record\.jsonl:2 is damaged"):
        StationRecord(path, lambda: 0.0)


def test_identity_file_is_private_and_checked(tmp_path: Path) -> None:
    path = tmp_path / "node.json"
    identity = new_identity(MACS[0])
    save_identity(path, identity)
    assert path.stat().st_mode & 0o077 == 0
    assert load_identity(path) == identity
    for content in ("", "{}", path.read_text().replace(MACS[0].hex(), "24ec")):
        path.write_text(content)
        with pytest.raises(StationError, match="no identity of a node"):
            load_identity(path)


def test_block_is_framed_as_esptool_frames_it() -> None:
    from esptool.loader import ESPLoader

    class Recorder(ESPLoader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.sent = b""
            self._trace_enabled = False
            self._port = self

        def write(self, packet: bytes) -> None:
            escaped = packet.replace(b"\xdb", b"\xdb\xdd").replace(b"\xc0", b"\xdb\xdc")
            self.sent = b"\xc0" + escaped + b"\xc0"

        timeout = 0.0

        def read(self) -> bytes:
            return b"\x01\x11" + bytes(10)

    block = bytes(range(256)) * 3 + b"\xc0\xdb!"
    recorder = Recorder()
    recorder.flash_defl_block(block, 7)
    assert block_frame(block, 7) == recorder.sent
