"""Answers people at the gateway's own machine, over a Unix socket in its folder.

Not the way of the fleet. Who may open the socket is decided by its permissions: its owner only. One
JSON object a line each way; an answer with `error` says why nothing was done.
"""

import asyncio
import contextlib
import json
import os
import socket
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import structlog

from poleward_gateway.domain.commands import CommandResult, SetLamp
from poleward_gateway.domain.errors import RefusedError
from poleward_gateway.domain.nodes import NodeNumber
from poleward_gateway.ports.clock import Clock
from poleward_gateway.ports.spool import Spool
from poleward_gateway.services.orders import Orders
from poleward_gateway.services.programs import Programs
from poleward_gateway.services.registry import Registry

_log = structlog.get_logger(__name__)

_LINE_MAX_BYTES = 64 * 1024
_DURATION_MAX_S = 7 * 86400


class LocalConsole:
    """What can be asked: `status`, `nodes`, `rules`, `dim`, `scene`; the key `do` says which."""

    def __init__(
        self, registry: Registry, programs: Programs, orders: Orders, spool: Spool, clock: Clock
    ) -> None:
        self._registry = registry
        self._programs = programs
        self._orders = orders
        self._spool = spool
        self._clock = clock

    async def answer(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Do what is asked.

        Raises:
            RefusedError: It is not understood, or names what is not here.
        """
        do = request.get("do")
        if do == "status":
            return self._status()
        if do == "nodes":
            return {"nodes": [self._node(node) for node in self._registry.numbers()]}
        if do == "rules":
            return self._rules()
        if do == "dim":
            return await self._dim(request)
        if do == "scene":
            duration_s = _number(request, "duration_s", _DURATION_MAX_S)
            name = str(request.get("scene"))
            return self._outcomes(await self._orders.run_scene(name, duration_s=duration_s))
        raise RefusedError("ask for one of: status, nodes, rules, dim, scene")

    def _status(self) -> dict[str, Any]:
        numbers = self._registry.numbers()
        lighting = self._programs.lighting
        return {
            "nodes": len(numbers),
            "registered": sum(self._registry.is_registered(node) for node in numbers),
            "reports_waiting": self._spool.waiting_reports(),
            "programs": [program.name for program in lighting.programs],
            "groups": {group.name: len(group.nodes) for group in lighting.groups},
            "scenes": [scene.name for scene in lighting.scenes],
            "rules": [rule.name for rule in lighting.rules],
        }

    def _node(self, node: NodeNumber) -> dict[str, Any]:
        state = self._registry.state(node)
        place = self._programs.lighting.place(node)
        desired = self._registry.desired(node)
        return {
            "node": node,
            "endpoint": desired.endpoint_name if desired else "",
            "pole": place.pole_code if place else "",
            "link": state.link_state.value if state else "unknown",
            "heard_at_ms": state.heard_at_ms if state else 0,
            "program": place.program if place else "",
            "follows": bool(state and state.program_digest),
            "update": state.update.state.value if state and state.update else "",
        }

    def _rules(self) -> dict[str, Any]:
        lighting = self._programs.lighting
        return {
            "rules": [
                {
                    "name": rule.name,
                    "when": str(rule.trigger),
                    "then": [str(action) for action in rule.actions],
                }
                for rule in lighting.rules
            ]
        }

    async def _dim(self, request: Mapping[str, Any]) -> dict[str, Any]:
        level_percent = _number(request, "level_percent", 100)
        wish = SetLamp(0, level_percent, _number(request, "duration_s", _DURATION_MAX_S))
        nodes = self._named(request)
        return self._outcomes(await self._orders.dim((node, wish) for node in nodes))

    def _named(self, request: Mapping[str, Any]) -> Sequence[NodeNumber]:
        """List the nodes that a request names: a group, a pole or a node, or all."""
        if request.get("group"):
            return self._orders.members(str(request["group"]))
        name = str(request.get("node") or "")
        if not name:
            return self._registry.numbers()
        for number in self._registry.numbers():
            place = self._programs.lighting.place(number)
            if name in (str(number), place.pole_code if place else ""):
                return [number]
        raise RefusedError(f"{name} is no node or pole of this gateway; `nodes` lists them")

    def _outcomes(self, results: Mapping[NodeNumber, CommandResult]) -> dict[str, Any]:
        return {
            "outcomes": [
                {"node": node, "status": result.status.value, "detail": result.detail}
                for node, result in results.items()
            ]
        }


@contextlib.asynccontextmanager
async def serving(console: LocalConsole, path: Path) -> AsyncIterator[None]:
    """Answer at a socket inside a block.

    Raises:
        OSError: The socket cannot be made there.
    """

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                writer.write(json.dumps(await _answer(console, line)).encode() + b"\n")
                await writer.drain()
        except (ConnectionError, ValueError) as error:
            _log.info("local_connection_ended", why=str(error))
        finally:
            writer.close()

    with _listening(path) as listener:
        server = await asyncio.start_unix_server(serve, sock=listener, limit=_LINE_MAX_BYTES)
        try:
            yield
        finally:
            server.close()


async def _answer(console: LocalConsole, line: bytes) -> dict[str, Any]:
    try:
        request = json.loads(line)
        if not isinstance(request, dict):
            raise RefusedError("a line is one JSON object")
        return await console.answer(request)
    except RefusedError as error:
        return {"error": str(error)}
    except ValueError as error:
        return {"error": f"no JSON: {error}"}


@contextlib.contextmanager
def _listening(path: Path) -> Iterator[socket.socket]:
    """Bind a socket at `path` for its owner only; take it away at the end."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    before = os.umask(0o177)
    try:
        with socket.socket(socket.AF_UNIX) as listener:
            # By the folder's descriptor: a whole path may exceed the 107 bytes it is allowed.
            listener.bind(f"/proc/self/fd/{folder}/{path.name}")
            os.umask(before)
            yield listener
    finally:
        os.umask(before)
        os.close(folder)
        path.unlink(missing_ok=True)


def _number(request: Mapping[str, Any], name: str, limit: int) -> int:
    value = request.get(name, 0)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= limit:
        raise RefusedError(f"{name} is a whole number from 0 to {limit}, not {value!r}")
    return value
