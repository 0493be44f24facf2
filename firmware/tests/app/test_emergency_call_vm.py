"""The emergency call: light first, latched through power cuts, told once, ended by an operator."""

from vm.fake_board import FakeBoard, NoProgram

from node.emergency_call import EmergencyCall
from node.lighting.controller import LampController

NOON = 1700000000


def ignore():
    """Somebody else is told."""


class Events:
    """What was told, or refused while the flash is full."""

    def __init__(self):
        self.kinds = []
        self.is_full = False

    def tell(self, kind, severity, detail):
        if self.is_full:
            raise OSError(28)
        self.kinds.append(kind)


def make(board, events):
    lamp = LampController(board, NoProgram(), ignore, ignore)
    return lamp, EmergencyCall(board, lamp, events.tell, ignore)


def test_press_gives_light_before_anything_is_written():
    board, events = FakeBoard(), Events()
    lamp, call = make(board, events)
    lamp.override(0, 0)
    order = []
    board.set_lamp = lambda level: order.append(("lamp", level))
    board.namespaces["sos"].commit = lambda: order.append("commit")
    events.tell = lambda *_: order.append("event")
    call._tell = events.tell
    call.press()
    assert order[0] == ("lamp", 1000)
    assert order.index("commit") < order.index("event")
    assert call.is_active
    assert not call.is_accepted


def test_call_survives_a_power_cut_and_is_told_once():
    board, events = FakeBoard(), Events()
    board.unix_offset_s = NOON
    _, call = make(board, events)
    call.press()
    board.lamp = []
    _, again = make(board, events)
    again._tell_untold("")
    assert again.is_active
    assert again.pressed_at == NOON
    assert board.lamp[-1] == 1000
    assert events.kinds == ["sos.pressed"]


def test_power_cut_between_latch_and_event_has_it_told_later():
    board, events = FakeBoard(), Events()
    _, call = make(board, events)
    events.is_full = True
    call.press()
    events.is_full = False
    _, again = make(board, events)
    again._tell_untold("")
    again._tell_untold("")
    assert events.kinds == ["sos.pressed"]


def test_pressing_again_only_counts():
    board, events = FakeBoard(), Events()
    _, call = make(board, events)
    for _ in range(3):
        call.press()
    assert call.count == 3
    assert events.kinds == ["sos.pressed"]


def test_only_reset_ends_the_call():
    board, events = FakeBoard(), Events()
    lamp, call = make(board, events)
    lamp.override(30, 0)
    call.press()
    call.accept()
    call.accept()
    assert call.is_accepted
    assert lamp.level_permille == 1000
    call.reset()
    call.reset()
    assert not call.is_active
    assert events.kinds == ["sos.pressed", "sos.accepted", "sos.reset"]
    for _ in range(60):
        board.now_ms += 20
        lamp.tick()
    assert lamp.level_permille == 300
    call.press()
    assert events.kinds[3:] == ["sos.pressed"]
