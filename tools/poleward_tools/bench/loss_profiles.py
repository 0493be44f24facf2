"""What the loss experiment does to links and programs, one function for each profile.

Not the comparison of what was sent with what is stored: loss.py. Times are those of the whole
experiment of WHOLE_S; a shorter one shortens them all.
"""

import asyncio
import random
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from poleward_fleet.adapters.sql.embedded import EmbeddedPostgres
from poleward_tools.bench.loss_node import LossNode
from poleward_tools.bench.loss_programs import FleetProgram, GatewayProgram
from poleward_tools.bench.tcp_relay import TcpRelay
from poleward_tools.virtual_board.link import LinkFaults

WHOLE_S = 120.0
_CUT = LinkFaults(is_down=True)
_WHOLE = LinkFaults()
_AWAY_S = 2.0


@dataclass(slots=True)
class Site:
    """One gateway with its nodes, and everything between it and the database.

    Args:
        nodes: Behind the gateway.
        gateway: The program.
        uplink: Between gateway and fleet.
        fleet: The program; other sites may share it.
        postgres: Its database.
        scale: 1 for the whole experiment.
        chance: For random moments.
    """

    nodes: list[LossNode]
    gateway: GatewayProgram
    uplink: TcpRelay
    fleet: FleetProgram
    postgres: EmbeddedPostgres
    scale: float
    chance: random.Random = field(default_factory=lambda: random.Random(1))

    async def wait(self, seconds: float) -> None:
        """Let time pass."""
        await asyncio.sleep(seconds * self.scale)

    async def wait_about(self, seconds: float) -> None:
        """Let time pass until a random moment."""
        await self.wait(seconds * self.chance.uniform(0.3, 1.7))

    def disturb_nodes(self, faults: LinkFaults) -> None:
        """Disturb the links of all nodes from now on."""
        for node in self.nodes:
            node.set_faults(faults)

    def restore(self) -> None:
        """Let every link be as good as it can be."""
        self.disturb_nodes(_WHOLE)
        self.uplink.latency_s = self.uplink.stall_chance = 0.0
        self.uplink.restore()


Act = Callable[[Site], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Profile:
    """One kind of trouble.

    Args:
        name: On the command line.
        act: Makes it.
        seconds: How long it takes in the whole experiment.
        shares_fleet: It leaves fleet and database alone, so others may run beside it.
        gateway_module: What runs as the gateway.
    """

    name: str
    act: Act
    seconds: float = WHOLE_S
    shares_fleet: bool = True
    gateway_module: str = "poleward_gateway"


async def _online(site: Site) -> None:
    """Leave everything alone."""


def _offline(on_s: float, off_s: float, repeats: int) -> Act:
    async def act(site: Site) -> None:
        for turn in range(repeats):
            await site.wait(on_s)
            # A peer that says nothing, or connections that end and cannot be opened.
            if turn % 2:
                site.uplink.cut()
            else:
                site.uplink.hold()
            await site.wait(off_s / 2)
            site.disturb_nodes(_CUT)
            await site.wait(off_s / 2)
            site.restore()

    return act


def _degraded(faults: LinkFaults, stall_chance: float) -> Act:
    async def act(site: Site) -> None:
        site.disturb_nodes(faults)
        site.uplink.latency_s = faults.latency_ms / 1000
        site.uplink.stall_chance = stall_chance

    return act


async def _kill_gateway(site: Site) -> None:
    for _ in range(8):
        await site.wait_about(12)
        await site.gateway.kill()
        await site.gateway.launch()


async def _fill_disk(site: Site) -> None:
    for _ in range(2):
        await site.wait(20)
        site.gateway.fill_disk()
        await site.wait(30)
        site.gateway.limit_files(None)


async def _jump_clocks(site: Site) -> None:
    """Clocks of the gateway and of every other node go on by an hour, back, and back by one."""
    for number, hours in ((signal.SIGUSR1, 1), (signal.SIGUSR2, 0), (signal.SIGUSR2, -1)):
        await site.wait(25)
        site.gateway.signal(number)
        for node in site.nodes[::2]:
            node.clock_offset_s = hours * 3600


async def _reboot_nodes(site: Site) -> None:
    """Nodes reboot; before some of it their memory overflows while the link is cut."""
    for turn in range(6):
        await site.wait_about(12)
        some = site.chance.sample(site.nodes, len(site.nodes) // 3)
        if turn % 2:
            site.disturb_nodes(_CUT)
            await site.wait(4)
            for node in some:
                node.drop_oldest(2)
            site.restore()
        else:
            for node in some:
                node.reboot()


async def _move_gateway(site: Site) -> None:
    """Addresses change: of all nodes, as behind a NAT that forgot, then of the gateway."""
    for turn in range(4):
        await site.wait(20)
        if turn % 2 == 0:
            for node in site.nodes:
                node.rebind()
            continue
        await site.gateway.stop()
        site.gateway.port = 0
        await site.gateway.launch()
        for node in site.nodes:
            await node.move_to("127.0.0.1", site.gateway.port)


async def _kill_fleet(site: Site) -> None:
    for _ in range(4):
        await site.wait_about(6)
        await site.fleet.kill()
        await asyncio.sleep(_AWAY_S)
        site.uplink.target = await site.fleet.launch()


async def _restart_postgres(site: Site) -> None:
    for _ in range(3):
        await site.wait_about(8)
        await site.postgres.stop()
        await asyncio.sleep(_AWAY_S)
        await site.postgres.start()


PROFILES = {
    profile.name: profile
    for profile in (
        Profile("online", _online),
        Profile("offline-5-5-5", _offline(5, 5, 5)),
        Profile("offline-10-10-3", _offline(10, 10, 3)),
        Profile("offline-30-30-2", _offline(30, 30, 2)),
        Profile("satellite", _degraded(LinkFaults(loss=0.01, latency_ms=300), 0.01)),
        Profile(
            "cellular",
            _degraded(LinkFaults(loss=0.02, reorder=0.1, latency_ms=50, jitter_ms=40), 0.02),
        ),
        Profile("gateway-kill", _kill_gateway),
        Profile("disk-full", _fill_disk),
        Profile("clock-jump", _jump_clocks, gateway_module="poleward_tools.bench.loss_clock"),
        Profile("node-reboot", _reboot_nodes),
        Profile("gateway-address", _move_gateway),
        Profile("fleet-kill", _kill_fleet, seconds=30, shares_fleet=False),
        Profile("postgres-restart", _restart_postgres, seconds=30, shares_fleet=False),
    )
}
"""All profiles by name."""
