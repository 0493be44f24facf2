"""The lamp: fades, overrides that end, and the last level after a reboot."""

from vm.fake_board import FakeBoard

from node.lighting.controller import LampController

NOON = 1700000000


def settle(board, controller):
    """Let a fade end."""
    for _ in range(60):
        board.now_ms += 20
        if not controller.tick():
            return


def ignore():
    """Somebody else is told."""


def make():
    board = FakeBoard()
    changes = []
    return board, LampController(board, lambda: changes.append(1), ignore), changes


def test_new_node_lights_its_lamp_fully_at_once():
    board, controller, _ = make()
    assert board.lamp == [1000]
    assert controller.level_permille == 1000
    assert not controller.is_overridden


def test_command_fades_and_tells_when_it_is_done():
    board, controller, changes = make()
    controller.override(30, 0)
    assert controller.level_permille == 1000
    settle(board, controller)
    assert board.lamp[-1] == 300
    assert sorted(board.lamp, reverse=True) == board.lamp
    assert len(board.lamp) > 10
    assert len(changes) == 2


def test_end_of_a_fade_is_told_when_the_lamp_has_its_level():
    board = FakeBoard()
    settled_at = []
    controller = LampController(board, ignore, lambda: settled_at.append(board.lamp[-1]))
    controller.tick()
    assert settled_at == []
    controller.override(30, 0)
    settle(board, controller)
    assert settled_at == [300]
    controller.override(30, 0)
    settle(board, controller)
    assert settled_at == [300]


def test_new_command_starts_from_where_the_fade_is():
    board, controller, _ = make()
    controller.override(0, 0)
    board.now_ms += 400
    controller.tick()
    middle = board.lamp[-1]
    assert 400 < middle < 600
    controller.override(100, 0)
    board.now_ms += 20
    controller.tick()
    assert middle <= board.lamp[-1] < 650


def test_override_ends_at_its_time():
    board, controller, _ = make()
    board.unix_offset_s = NOON
    controller.override(20, NOON + 60)
    settle(board, controller)
    board.now_ms = 59000
    controller.tick()
    assert controller.is_overridden
    board.now_ms = 60000
    controller.tick()
    settle(board, controller)
    assert (controller.is_overridden, controller.level_permille) == (False, 1000)


def test_override_holds_while_the_clock_is_unknown():
    board, controller, _ = make()
    controller.override(20, NOON)
    board.now_ms += 10**7
    controller.tick()
    assert controller.is_overridden
    board.unix_offset_s = NOON
    controller.tick()
    assert not controller.is_overridden


def test_level_and_override_survive_a_power_cut_without_a_fade():
    board, controller, _ = make()
    controller.override(35, NOON)
    board.lamp = []
    again = LampController(board, ignore, ignore)
    assert board.lamp == [350]
    assert again.is_overridden
    assert again.override_ends_at == NOON
    assert not again.tick()


def test_default_level_is_kept_and_used_when_the_override_ends():
    board, controller, _ = make()
    controller.override(20, 0)
    controller.set_default(60)
    assert controller.command_percent == 20
    controller.release()
    settle(board, controller)
    assert controller.level_permille == 600
    assert LampController(board, ignore, ignore).default_percent == 60


def test_fade_writes_storage_once():
    board, controller, _ = make()
    storage = board.namespaces["lamp"]
    before = storage.commits
    controller.override(10, 0)
    settle(board, controller)
    assert storage.commits == before + 1


def test_burning_time_and_ignitions_are_counted():
    board, controller, _ = make()
    board.now_ms = 7200 * 1000
    controller.tick()
    controller.override(0, 0)
    settle(board, controller)
    assert 7200 <= controller.burned_s <= 7201
    board.now_ms += 3600 * 1000
    controller.override(50, 0)
    settle(board, controller)
    assert controller.switch_count == 1
    assert controller.burned_s < 7210
    assert LampController(board, ignore, ignore).burned_s >= 7200
