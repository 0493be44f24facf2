"""What a node runs on: chooses the board and documents the contract that `esp32` and `sim` keep.

Not a base class: MicroPython has no abc, and a class would cost heap. A test compares both boards'
public names and signatures with each other.

The contract (class `Board` in `node.board.sim` and `node.board.esp32`):

- `NAME` is the hardware version that Device shows. `Partition` is `esp32.Partition`.
- `open_nvs(namespace)` gives the namespace of non-volatile storage, with esp32.NVS's own methods.
- `ticks_ms()` wraps; compare with `ticks_diff(later, earlier)`. `monotonic_s()` counts from boot
  and never goes back. `unix_s()` is 0 until `set_unix_s(now)` was called once since power came on.
- `random_bytes(count)` comes from the hardware generator and is fit for keys and nonces.
- `await connect()` joins the network; it returns at once when it is joined already.
- `open_transport(host, port)` gives `(transport, address)`; addresses are opaque and hashable.
- `set_lamp(level_permille)` drives the lamp, 0 to 1000, at once and without fading.
- `await button_press()` returns at the next press of the emergency call button.
- `set_beacon(is_on)` switches the light at that button, at once.
- `read_meter()` gives `(voltage_mv, current_ma, active_power_mw, power_factor_permille)`.
- `read_air()` gives `(temperature_mc, humidity_mpercent, pm25_mug_m3, illuminance_mlx)`,
  thousandths each.
  A value that no sensor gives is None; a sensor that fails raises OSError.
- `energy_mwh()` is the energy drawn since power came on.
- `start_watchdog(timeout_ms)` then `feed_watchdog()`; the watchdog cannot be stopped again.
- `reset_cause()` is one of "power_on", "watchdog", "reset", "crash". `reset()` does not return.
"""

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from node.board.sim import Board


_board: "Board | None" = None


def current() -> "Board":
    """Give the board this interpreter runs on."""
    global _board
    if not _board:
        if sys.platform == "esp32":
            from node.board.esp32 import Board
        else:
            from node.board.sim import Board
        _board = Board()
    return _board
