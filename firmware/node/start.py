"""Where main.py enters: lights the lamp as it was, then loads the application and runs it.

Not the application: loading all of it takes longer than a street may be dark.
"""

from node import board as boards

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def run() -> None:
    """Run the node; a reset ends it."""
    light(boards.current())
    from node import app

    app.run()


def light(board: "Any") -> None:
    """Give the lamp the level that it had, from the keys of LampController and EmergencyCall."""
    stored = _read(board, "lamp", "level", _read(board, "lamp", "default", 100))
    board.set_lamp(1000 if _read(board, "sos", "state", 0) else stored * 10)


def _read(board: "Any", namespace: str, key: str, default: int) -> int:
    try:
        return int(board.open_nvs(namespace).get_i32(key))
    except OSError:
        return default
