"""Checks of the rig itself, before any test blames a board: clock, port, power, sync, link.

They need no fleet and no gateway and leave the board's flash as it is. Printing is the command's.
"""

import ctypes
import functools
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from labgrid import Environment, Target
from labgrid.exceptions import NoDriverFoundError, NoResourceFoundError

from hil_tests.instruments.errors import RigError
from hil_tests.strategies.node_strategy import NodeStrategy

_ANY_BOOT = r"rst:0x[0-9a-f]+ \(POWERON"
_BANNER_S = 60.0
_QUIET_S = 1.5
_TIME_ERROR = 5  # adjtimex(2): the clock is not synchronised
_TIMEX_BYTES = 256


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found.

    Attributes:
        board: name of the board, empty for the rig's host.
        check: clock, drivers, port, power, sync or link.
        is_good: whether tests can rely on it.
        text: what was found, and what to do when it is not good.
    """

    board: str
    check: str
    is_good: bool
    text: str


def check_rig(environment: Environment) -> Iterator[Finding]:
    """Check the host, then each board; a board's checks end at the first that fails."""
    yield _check_clock(Path(environment.config_file))
    for name in environment.config.get_targets():
        yield from _check_board(name, functools.partial(environment.get_target, name))


def _check_clock(rig_file: Path) -> Finding:
    now = time.time()
    if now < rig_file.stat().st_mtime:
        return Finding(
            "", "clock", False, f"the clock is before the last change of {rig_file}; set it"
        )
    # All of it zero: read only. The return value tells the state.
    state = ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES))
    kept = "not kept by NTP, fine for tests" if state == _TIME_ERROR else "kept by NTP"
    return Finding("", "clock", True, kept)


def _check_board(name: str, open_target: Callable[[], Target]) -> Iterator[Finding]:
    try:
        target = open_target()
        strategy = target.get_driver(NodeStrategy, activate=False)
    except (NoDriverFoundError, NoResourceFoundError, ValueError) as error:
        yield Finding(name, "drivers", False, f"{error}; compare with hil_tests/rigs/bench.yaml")
        return
    for check, work in (
        ("port", _check_port),
        ("power", _check_power),
        ("sync", _check_sync),
        ("link", _check_link),
    ):
        try:
            yield Finding(name, check, True, work(target, strategy))
        except RigError as error:
            yield Finding(name, check, False, str(error))
            break
        # Drivers of power switches raise whatever their library does.
        except Exception as error:  # noqa: BLE001
            yield Finding(name, check, False, f"{type(error).__name__}: {error}")
            break
    _leave_off(target, strategy)


def _check_port(target: Target, strategy: NodeStrategy) -> str:
    target.activate(strategy.console)
    return "opens"


def _check_power(target: Target, strategy: NodeStrategy) -> str:
    target.activate(strategy.power)
    console = strategy.console
    strategy.power.off()
    since = console.mark()
    time.sleep(_QUIET_S)
    if console.mark() != since:
        raise RigError(
            "the board still prints with its power off: is it fed over its USB port, or is "
            "another board on this outlet?"
        )
    strategy.power.on()
    try:
        console.wait_for(_ANY_BOOT, _BANNER_S, since=since)
    except RigError as error:
        raise RigError(
            "no boot message after power-on: check the outlet, TX and RX, and the baud rate "
            f"({error})"
        ) from error
    return "off is silent, on boots"


def _check_sync(target: Target, strategy: NodeStrategy) -> str:
    target.activate(strategy.flasher)
    mac = strategy.flasher.read_mac()
    return f"esptool reads {mac.hex(':')}"


def _check_link(target: Target, strategy: NodeStrategy) -> str:
    target.activate(strategy.link)
    return f"listens on {strategy.link.uri}"


def _leave_off(target: Target, strategy: NodeStrategy) -> None:
    # Its own check has said so when this fails.
    with suppress(Exception):
        strategy.power.off()
    target.deactivate_all_drivers()
