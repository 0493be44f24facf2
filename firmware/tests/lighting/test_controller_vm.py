"""The lamp: fades, overrides that end, and the last level after a reboot."""

from vm.fake_board import FakeBoard, NoProgram

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
    return board, LampController(board, NoProgram(), lambda: changes.append(1), ignore), changes


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
    controller = LampController(
        board, NoProgram(), ignore, lambda: settled_at.append(board.lamp[-1])
    )
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
    again = LampController(board, NoProgram(), ignore, ignore)
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
    assert LampController(board, NoProgram(), ignore, ignore).default_percent == 60


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
    assert LampController(board, NoProgram(), ignore, ignore).burned_s >= 7200


def test_override_with_a_start_waits_for_it_also_through_a_reboot():
    board, controller, _ = make()
    board.unix_offset_s = NOON
    controller.override(40, 0, NOON + 60, 2000)
    board.now_ms = 59000
    assert controller.tick()
    assert not controller.is_overridden
    again = LampController(board, NoProgram(), ignore, ignore)
    board.now_ms = 60000
    again.tick()
    board.now_ms = 61000
    again.tick()
    assert board.lamp[-1] == 700
    board.now_ms = 62000
    again.tick()
    assert (again.is_overridden, again.level_permille) == (True, 400)
    assert not LampController(board, NoProgram(), ignore, ignore)._planned


def test_next_command_takes_the_place_of_one_that_waits():
    board, controller, _ = make()
    board.unix_offset_s = NOON
    controller.override(40, 0, NOON + 60)
    controller.override(70, 0)
    settle(board, controller)
    board.now_ms += 120000
    controller.tick()
    settle(board, controller)
    assert controller.level_permille == 700


class Evening:
    """A program that dims at one moment."""

    def level(self, now):
        return None if not now else 100 if now < NOON + 60 else 30


def test_program_decides_when_nothing_else_does():
    board = FakeBoard()
    controller = LampController(board, Evening(), ignore, ignore)
    board.unix_offset_s = NOON
    controller.override(80, NOON + 120)
    settle(board, controller)
    board.now_ms = 61000
    controller.tick()
    assert controller.command_percent == 80
    board.now_ms = 120000
    controller.tick()
    settle(board, controller)
    assert (controller.level_permille, controller.is_overridden) == (300, False)
    assert LampController(board, Evening(), ignore, ignore).level_permille == 300


def test_emergency_gives_full_light_at_once_and_goes_back_to_what_held():
    board, controller, _ = make()
    controller.override(10, 0)
    settle(board, controller)
    board.lamp = []
    controller.set_emergency(True)
    assert board.lamp == [1000]
    controller.override(20, 0)
    settle(board, controller)
    assert controller.level_permille == 1000
    controller.set_emergency(False)
    settle(board, controller)
    assert controller.level_permille == 200
