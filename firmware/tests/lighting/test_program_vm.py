"""Lighting programs: which rule, which points, which level; what a damaged file does."""

import os

from vm.raises import raised
from vm.scratch import Scratch

from node.lighting import evaluation
from node.lighting.program import Program

# 2026-07-01 00:00 in Shanghai, where the sun sets at about 19:02 and rises at about 04:54.
SHANGHAI = (31230, 121470)
MIDNIGHT = 1782835200
HOUR = 3600
DUSK_TO_DAWN = "||S;22:00;05:00;R|100;50;80;0"


def make(rules, clock=(28800, 0, 0)):
    with Scratch() as folder:
        program = Program(folder + "/lighting.txt")
        program.replace("test", rules, SHANGHAI, clock)
        return program


def levels(program, hours):
    return [program.level(MIDNIGHT + int(hour * HOUR)) for hour in hours]


def test_level_follows_the_night():
    program = make(DUSK_TO_DAWN)
    # Sunrise is before 05:00: the point for the early traffic moves to it, and the lamp is off.
    assert levels(program, (0.5, 4.5, 5.2, 11, 13, 18.9, 19.2, 21.9, 22.1, 23.9)) == [
        50, 50, 0, 0, 0, 0, 100, 100, 50, 50,
    ]  # fmt: skip


def test_point_before_sunset_waits_for_it():
    program = make("||18:00;S+10;R|50;100;0")
    assert levels(program, (18.5, 19.1, 19.3)) == [50, 50, 100]
    program = make("||S;18:00;R|100;50;0")
    assert levels(program, (18.5, 19.2)) == [0, 50]


def test_level_holds_until_the_next_point():
    program = make(DUSK_TO_DAWN)
    level, end = evaluation.level_and_end(program, MIDNIGHT + 20 * HOUR)
    assert (level, end) == (100, MIDNIGHT + 22 * HOUR)
    level, end = evaluation.level_and_end(program, MIDNIGHT + 22 * HOUR)
    assert level == 50
    assert 28 * HOUR < end - MIDNIGHT < 29 * HOUR


def test_first_rule_that_applies_decides():
    program = make(
        "2026-07-01~2026-07-03|* * *|S;R|90;0\n"
        "--06-01~--08-31|* * 5,6|S;R|70;0\n"
        "|1-15 7-9 *|S;R|60;0\n"
        "||S;R|50;0"
    )
    evening = 21 * HOUR
    found = [program.level(MIDNIGHT + day * 86400 + evening) for day in range(-1, 20)]
    # 2026-06-30 is a Tuesday.
    assert found[:5] == [50, 90, 90, 90, 70]
    assert found[5:12] == [60, 60, 60, 60, 60, 70, 70]
    assert found[16:] == [50, 70, 70, 50, 50]


def test_yearly_rule_over_the_turn_of_the_year():
    for day, wanted in ((20417, True), (20400, True), (20453, True), (20600, False)):
        # 2025-11-25 is day 20417.
        assert evaluation.applies("--11-01~--02-28|||", day) == wanted, day


def test_sunday_is_0_and_7():
    # 2026-07-03 is a Friday, and day 20637.
    for name in ("0", "7"):
        assert [evaluation.applies("|* * %s||" % name, 20637 + i) for i in range(7)] == [
            False, False, True, False, False, False, False,
        ]  # fmt: skip


def test_clock_change_moves_fixed_times():
    change = MIDNIGHT + 12 * HOUR
    program = make("||20:00;R|100;0", (28800, change, 28800 + HOUR))
    assert levels(program, (18.5, 19.5)) == [0, 100]


def test_program_survives_a_restart():
    with Scratch() as folder:
        Program(folder + "/lighting.txt").replace("kept", DUSK_TO_DAWN, SHANGHAI, (28800, 0, 0))
        again = Program(folder + "/lighting.txt")
    assert (again.name, again.rules) == ("kept", DUSK_TO_DAWN)
    assert again.level(MIDNIGHT + 20 * HOUR) == 100


def test_damaged_file_is_no_program():
    with Scratch() as folder:
        path = folder + "/lighting.txt"
        Program(path).replace("kept", DUSK_TO_DAWN, SHANGHAI, (28800, 0, 0))
        with open(path) as file:
            text = file.read()
        for damaged in (text[:-1], text.replace("100", "200"), "", "garbage\n\n\n"):
            with open(path, "w") as file:
                file.write(damaged)
            assert Program(path).level(MIDNIGHT + 20 * HOUR) is None
        os.remove(path)
        assert Program(path).level(MIDNIGHT) is None


def test_rules_that_make_no_sense_are_refused_and_the_old_stay():
    with Scratch() as folder:
        check_refusals(Program(folder + "/lighting.txt"))


def check_refusals(program):
    program.replace("test", DUSK_TO_DAWN, SHANGHAI, (28800, 0, 0))
    for rules in (
        "S;R|100;0", "||S;R|100", "||S;R|100;101", "||S;25:00|100;0", "||S;X|1;0",
        "2026-13||S|1", "--01-01|* *|S|1", "||" + "S;" * 400 + "R|0",
    ):  # fmt: skip
        raised(ValueError, program.replace, "bad", rules, SHANGHAI, (0, 0, 0))
    assert program.name == "test"
    program.replace("none", "", SHANGHAI, (0, 0, 0))
    assert program.level(MIDNIGHT) is None
