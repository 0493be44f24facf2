"""One file for each part a pole's board may have; only those that a board has are loaded.

Each has `make(parts)`, which puts what it makes into the `node.board.parts.Parts` it is given and
takes pins and buses from there: a driver imports nothing of the chip. Kinds and what they offer:

- link: `await connect()` joins the network or raises OSError.
- lamp: `set(level_permille)`.
- meter: `read()` gives `(voltage_mv, current_ma, active_power_mw, power_factor_permille)`,
  `energy_mwh()` the energy since power came on.
- air: `read()` gives `(temperature_mc, humidity_mpercent, pm25_mug_m3)`, None for what it has not.

A driver that has to be asked often has `poll()`, which never waits. What does not answer raises
OSError.
"""

import asyncio

from micropython import const

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_LOOK_S = 0.1
_ETIMEDOUT = const(110)


async def joined(interface: "Any", within_s: int) -> None:
    """Wait until a network interface is connected.

    Raises:
        OSError: It is not, within that time.
    """
    for _ in range(int(within_s / _LOOK_S)):
        if interface.isconnected():
            return
        await asyncio.sleep(_LOOK_S)
    raise OSError(_ETIMEDOUT)
