"""What stands around the node: settings, air series and lamp; nothing of it is kept here.

Runs on MicroPython. The models in `node.board.sim` import it; they may not keep what it says,
because a lamp can break while the node runs.
"""

import json
import struct

import bus

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def setting(name: str) -> "Any":
    """Return a setting; KeyError when there is none of this name."""
    result, content = bus.ask(bus.SETTING, name.encode())
    if result < 0:
        raise KeyError(name)
    return json.loads(content)


def air(offset: int, size: int) -> bytes:
    """Return bytes of the air series; fewer, or none, behind its end."""
    return bytes(bus.ask(bus.AIR, struct.pack("<IH", offset, size))[1])


def lamp(level_permille: int) -> None:
    """Drive the lamp's pin."""
    bus.ask(bus.LAMP, struct.pack("<H", level_permille))


def route(host: str, port: int) -> "tuple[str, int]":
    """Return where datagrams for a host have to be sent: to the board's own link."""
    result, content = bus.ask(bus.ROUTE, struct.pack("<H", port) + host.encode())
    if result < 0:
        raise OSError(-2)  # EAI_NONAME, as getaddrinfo raises it
    (link_port,) = struct.unpack_from("<H", content)
    return content[2:].decode(), link_port
