"""The link between one board and its gateway: a UDP relay that disturbs and records.

Not the content of datagrams. It listens where the board can reach it, so a gateway that only the
rig's host reaches serves real boards too.
"""

import heapq
import itertools
import random
import selectors
import socket
import threading
import time
from dataclasses import dataclass
from typing import ClassVar

import attr
from labgrid.driver import Driver
from labgrid.factory import target_factory
from labgrid.resource import Resource

from hil_tests.instruments.errors import InfrastructureError
from hil_tests.instruments.packet_capture import Datagram
from hil_tests.instruments.protocols import LinkProtocol

_MAX_BYTES = 2048
_POLL_S = 0.05
_MAX_RECORDED = 20_000
# A reordered datagram waits this long, so that later ones overtake it.
_REORDER_S = 0.3


@dataclass(frozen=True, slots=True)
class Disturbance:
    """How datagrams are treated, each for itself: chances from 0 to 1, and a delay for all."""

    loss: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0
    delay_s: float = 0.0

    def departures_s(self, chance: random.Random) -> list[float]:
        """Decide after how many seconds copies of one datagram leave; none when it is lost."""
        if chance.random() < self.loss:
            return []
        late_s = _REORDER_S if chance.random() < self.reorder else 0.0
        copies = 2 if chance.random() < self.duplicate else 1
        return [self.delay_s + late_s] * copies


@target_factory.reg_resource
@attr.s(eq=False)
class UdpLink(Resource):
    """Where a rig listens for the datagrams of a board.

    Args:
        listen: IPv4 address of this host that the board reaches.
        port: 0 for any free one.
        seed: of the chances, so that a run can be repeated.
    """

    listen = attr.ib(default="127.0.0.1", validator=attr.validators.instance_of(str))
    port = attr.ib(default=0, validator=attr.validators.instance_of(int))
    seed = attr.ib(default=1, validator=attr.validators.instance_of(int))


@target_factory.reg_driver
@attr.s(eq=False)
class UdpLinkDriver(Driver, LinkProtocol):
    """Passes datagrams on in a thread of its own while active.

    The last 20,000 datagrams are recorded; older ones are dropped and counted in `unrecorded`.
    """

    bindings: ClassVar[dict[str, object]] = {"link": UdpLink}

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        self.recorded: list[Datagram] = []
        self.unrecorded = 0
        self._disturbance = Disturbance()
        self._gateway: tuple[str, int] | None = None
        self._board: tuple[str, int] | None = None
        self._chance = random.Random(self.link.seed)
        self._lock = threading.Lock()
        self._waiting: list[tuple[float, int, bool, bytes]] = []
        self._numbers = itertools.count()
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def uri(self) -> str:
        """Where the board finds its gateway."""
        host, port = self._inner.getsockname()
        return f"coap://{host}:{port}"

    def on_activate(self) -> None:
        """Listen.

        Raises:
            InfrastructureError: the address is not this host's, or the port is taken.
        """
        self._inner = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            self._inner.bind((self.link.listen, self.link.port))
        except OSError as error:
            self._inner.close()
            where = f"{self.link.listen}:{self.link.port}"
            raise InfrastructureError(f"no link: cannot listen on {where}: {error}") from error
        self._outer = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._ended.clear()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def on_deactivate(self) -> None:
        """Stop and give the ports back."""
        self._ended.set()
        if self._thread:
            self._thread.join()
            self._thread = None
            self._inner.close()
            self._outer.close()

    @Driver.check_active
    def attach(self, gateway: tuple[str, int]) -> None:
        """Pass datagrams on to this gateway from now on."""
        with self._lock:
            self._gateway = gateway

    @Driver.check_active
    def disturb(
        self,
        *,
        loss: float = 0.0,
        duplicate: float = 0.0,
        reorder: float = 0.0,
        delay_s: float = 0.0,
    ) -> None:
        """Treat datagrams like this from now on; without arguments the link is good again."""
        with self._lock:
            self._disturbance = Disturbance(loss, duplicate, reorder, delay_s)

    @Driver.check_active
    def cut(self) -> None:
        """Lose everything until `disturb` is called."""
        self.disturb(loss=1.0)

    @Driver.check_active
    def rebind(self) -> None:
        """Speak to the gateway from another port, as after a NAT forgot the node."""
        with self._lock:
            self._outer.close()
            self._outer = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)

    def _run(self) -> None:
        while not self._ended.is_set():
            with self._lock:
                outer = self._outer
                wait_s = min(_POLL_S, max(0.0, self._next_departure() - time.monotonic()))
            with selectors.DefaultSelector() as selector:
                selector.register(self._inner, selectors.EVENT_READ, True)
                try:
                    selector.register(outer, selectors.EVENT_READ, False)
                except ValueError:
                    continue  # rebound in this moment
                ready = [bool(key.data) for key, _ in selector.select(wait_s)]
            with self._lock:
                for is_from_board in ready:
                    self._receive(is_from_board)
                while self._waiting and self._next_departure() <= time.monotonic():
                    _, _, is_from_board, content = heapq.heappop(self._waiting)
                    self._send(is_from_board, content)

    def _next_departure(self) -> float:
        return self._waiting[0][0] if self._waiting else float("inf")

    def _receive(self, is_from_board: bool) -> None:
        try:
            if is_from_board:
                content, self._board = self._inner.recvfrom(_MAX_BYTES, socket.MSG_DONTWAIT)
            else:
                content, _ = self._outer.recvfrom(_MAX_BYTES, socket.MSG_DONTWAIT)
        except OSError:
            return  # rebound, or an ICMP error that belongs to an earlier send
        departures = self._disturbance.departures_s(self._chance)
        self._record(is_from_board, content, was_lost=not departures)
        for after_s in departures:
            entry = (time.monotonic() + after_s, next(self._numbers), is_from_board, content)
            heapq.heappush(self._waiting, entry)

    def _send(self, is_from_board: bool, content: bytes) -> None:
        try:
            if is_from_board and self._gateway:
                self._outer.sendto(content, self._gateway)
            elif not is_from_board and self._board:
                self._inner.sendto(content, self._board)
        except OSError:
            pass  # nobody is there at the moment: UDP loses it

    def _record(self, is_from_board: bool, content: bytes, *, was_lost: bool) -> None:
        board = self._board or ("0.0.0.0", 0)
        gateway = self._gateway or ("0.0.0.0", 0)
        source, target = (board, gateway) if is_from_board else (gateway, board)
        self.recorded.append(Datagram(time.time(), source, target, content, was_lost))
        if len(self.recorded) > _MAX_RECORDED:
            del self.recorded[0]
            self.unrecorded += 1
