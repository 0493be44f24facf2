"""`poleward commission`: follows the checks, reads the node's console and refuses what is none."""

import os
import pty
import threading
from pathlib import Path

import pytest

from poleward_tools.cli import commission
from poleward_tools.cli.commission import watch
from poleward_tools.cli.workorder import mac_of, read_pass
from poleward_tools.client.commissioning import VisitCheck, VisitState
from poleward_tools.exit_codes import CommandError


class Pole:
    """Answers a visit: the link comes at the second look, the lamp at the second blink."""

    def __init__(self) -> None:
        self.looks = 0
        self.blinks = 0

    def begin(
        self, visit_id: str, *, mac: str, claim_code: str, pole_code: str, swap: bool
    ) -> VisitState:
        return self._state()

    def state(self, visit_id: str) -> VisitState:
        self.looks += 1
        return self._state()

    def blink(self, visit_id: str) -> VisitState:
        self.blinks += 1
        return self._state()

    def sign(self, visit_id: str, note: str) -> VisitState:
        return self._state()

    def _state(self) -> VisitState:
        link = "passed" if self.looks > 1 else "waiting"
        lamp = "passed" if self.blinks > 1 else "failed" if self.blinks else "waiting"
        checks = (VisitCheck("link", link, ""), VisitCheck("lamp", lamp, "99 → 20 W"))
        return VisitState(0, link == lamp == "passed", checks)


def test_checks_are_followed_and_a_lamp_that_failed_blinks_again() -> None:
    said: list[str] = []
    pole = Pole()
    state = watch(pole, "1", said.append, timeout_s=9, now_s=lambda: 0.0, wait=lambda s: None)
    assert state.is_complete
    assert pole.blinks == 2
    assert said[0].split() == ["…", "link", "waiting"]
    assert said[-1].split() == ["✓", "lamp", "99", "→", "20", "W"]


def test_a_watch_ends_with_its_time() -> None:
    pole = Pole()
    times = iter([0.0, 1.0, 10.0])
    state = watch(pole, "1", print, timeout_s=9, now_s=lambda: next(times), wait=lambda s: None)
    assert not state.is_complete


def test_the_address_is_read_from_the_console_of_a_node() -> None:
    ours, theirs = pty.openpty()
    try:
        boot = b"rst:0x1\r\nnode urn:dev:mac:24ec4a112233 release 1.0.0\r\n"
        heard = threading.Event()

        def start_again_and_again() -> None:
            while not heard.wait(0.1):
                os.write(ours, boot)

        speaking = threading.Thread(target=start_again_and_again)
        speaking.start()
        try:
            assert commission._mac_at(os.ttyname(theirs)) == "24ec4a112233"
        finally:
            heard.set()
            speaking.join()
    finally:
        os.close(ours)
        os.close(theirs)
    with pytest.raises(CommandError, match="Cannot listen"):
        commission._mac_at("/dev/does-not-exist")


def test_what_is_no_address_and_no_pass_is_refused(tmp_path: Path) -> None:
    assert mac_of("24:EC:4A:11:22:33") == "24ec4a112233"
    with pytest.raises(CommandError, match="12 hexadecimal digits"):
        mac_of("24:EC")
    path = tmp_path / "pass.json"
    with pytest.raises(CommandError, match="is no pass"):
        read_pass(path)
    path.write_text('{"gateway": "gw"}')
    with pytest.raises(CommandError, match="is no pass"):
        read_pass(path)
