"""The entry: the lamp is lit as it was before the application is loaded."""

import sys

from vm.fake_board import FakeBoard, NoProgram

from node.emergency_call import EmergencyCall
from node.lighting.controller import LampController


def ignore(*_):
    """Somebody else is told."""


def lit_again(board):
    """Give what the lamp is driven to at the next start."""
    from node import start

    del board.lamp[:]
    start.light(board)
    return board.lamp


def test_new_node_lights_its_lamp_fully():
    assert lit_again(FakeBoard()) == [1000]


def test_lamp_has_the_level_of_the_last_command_or_of_the_default():
    board = FakeBoard()
    controller = LampController(board, NoProgram(), ignore, ignore)
    controller.set_default(60)
    assert lit_again(board) == [600]
    controller.override(37, 0)
    assert lit_again(board) == [370]
    controller.override(0, 0)
    assert lit_again(board) == [0]
    # What is loaded after it agrees.
    LampController(board, NoProgram(), ignore, ignore)
    assert board.lamp == [0, 0]


def test_lamp_is_at_its_brightest_while_a_call_is_active():
    board = FakeBoard()
    controller = LampController(board, NoProgram(), ignore, ignore)
    controller.override(37, 0)
    call = EmergencyCall(board, controller, ignore, ignore)
    call.press()
    assert lit_again(board) == [1000]
    call.reset()
    assert lit_again(board) == [370]


def test_nothing_but_the_board_is_loaded_before_the_lamp_is_lit():
    kept = {name: module for name, module in sys.modules.items() if name.startswith("node")}
    for name in kept:
        del sys.modules[name]
    lit_again(FakeBoard())
    loaded = {name for name in sys.modules if name.startswith("node")}
    sys.modules.update(kept)
    assert loaded == {"node", "node.board", "node.start"}
