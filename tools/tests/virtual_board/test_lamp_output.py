"""What a board remembers of its lamp's pin."""

from poleward_tools.virtual_board.lamp_output import LampOutput


def test_levels_resets_and_the_time_to_the_first_level_are_kept() -> None:
    now_s = 10.0
    lamp = LampOutput(lambda: now_s)
    lamp.reset()
    assert (list(lamp.levels), lamp.restored_ms) == ([None], None)
    now_s = 10.25
    for level in (370, 370, 1000):
        lamp.drive(level)
    assert (list(lamp.levels), lamp.restored_ms) == ([None, 370, 1000], 250)
    lamp.reset()
    now_s = 10.75
    lamp.drive(1000)
    assert (list(lamp.levels), lamp.restored_ms) == ([None, 370, 1000, None, 1000], 500)
