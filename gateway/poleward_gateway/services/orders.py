"""Orders to many lamps that the gateway gives by itself: groups and scenes, for rules and people.

Not single commands, which services/commands.py carries out one by one.
"""

import uuid
from collections.abc import Iterable, Sequence

from poleward_gateway.domain.commands import Command, CommandResult, SetLamp
from poleward_gateway.domain.errors import RefusedError
from poleward_gateway.domain.nodes import NodeNumber
from poleward_gateway.ports.clock import Clock
from poleward_gateway.services.commands import Commands
from poleward_gateway.services.programs import Programs

LOCAL_DEADLINE_MS = 10_000


class Orders:
    """Makes commands of orders and waits for their outcomes."""

    def __init__(self, programs: Programs, commands: Commands, clock: Clock) -> None:
        self._programs = programs
        self._commands = commands
        self._clock = clock

    async def dim(
        self, wishes: Iterable[tuple[NodeNumber, SetLamp]]
    ) -> dict[NodeNumber, CommandResult]:
        """Set lamps; return the outcome of each."""
        deadline_ms = self._clock.now_ms() + LOCAL_DEADLINE_MS
        commands = [
            Command(uuid.uuid4().bytes, node, deadline_ms, action) for node, action in wishes
        ]
        results = await self._commands.carry_out(commands)
        return {command.node: result for command, result in zip(commands, results, strict=True)}

    async def run_scene(self, name: str, *, duration_s: int) -> dict[NodeNumber, CommandResult]:
        """Set the groups of a scene; return the outcome of each lamp.

        Raises:
            RefusedError: There is no such scene.
        """
        lighting = self._programs.lighting
        scene = lighting.scene(name)
        if scene is None:
            known = ", ".join(scene.name for scene in lighting.scenes) or "none"
            raise RefusedError(f"scene {name} is not known here; known: {known}")
        wishes: dict[NodeNumber, SetLamp] = {}
        for part in scene.parts:
            wish = SetLamp(0, part.level_percent, duration_s, fade_ms=part.fade_ms)
            wishes |= dict.fromkeys(self.members(part.group), wish)
        return await self.dim(wishes.items())

    def members(self, group_name: str) -> Sequence[NodeNumber]:
        """List the nodes of a group.

        Raises:
            RefusedError: There is no such group.
        """
        lighting = self._programs.lighting
        group = lighting.group(group_name)
        if group is None:
            known = ", ".join(group.name for group in lighting.groups) or "none"
            raise RefusedError(f"group {group_name} is not known here; known: {known}")
        return group.nodes
