"""The virtual rig: a small city of real processes, and instruments to disturb it.

Scenarios are in the test modules; what a city is is in poleward_tools/demo/city.py.
"""

import asyncio
import contextlib
import datetime
import selectors
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from hil_tests.instruments.board_fixtures import (  # noqa: F401  (fixtures)
    board,
    boards,
    env,
    off_board,
    provisioner,
    take_board,
)
from hil_tests.instruments.outcomes import Outcomes
from hil_tests.instruments.quarantine import Quarantine
from poleward_tools.client.views import Area, Node, Pole, StoredCount
from poleward_tools.demo import street
from poleward_tools.demo.city import GATEWAY_NAME, City, CityPlan
from poleward_tools.demo.narration import Silence
from poleward_tools.virtual_board.control import tell
from poleward_tools.virtual_board.node_folder import NodeFolder

# Deadlines only bound how long a failure takes; nothing here says how fast something has to be.
DEADLINE_S = 120.0
COMMAND_S = 60
RIG_POLES = 2


def pytest_configure(config: pytest.Config) -> None:
    """Apply the rules for tests on boards; `--lg-log DIR` says where their artefacts go."""
    listed = Path(__file__).with_name("rigs") / "quarantine.toml"
    today = datetime.datetime.now(datetime.UTC).date()
    artefacts = Path(config.getoption("lg_log", None) or ".artefacts")
    config.pluginmanager.register(Outcomes(Quarantine.load(listed, today), artefacts), "outcomes")


@dataclass(frozen=True, slots=True)
class RigNode:
    """A node of the rig."""

    city: City
    pole: Pole
    board: NodeFolder
    claim_code: str = field(default="", repr=False)
    bootstrap_secret: bytes = field(default=b"", repr=False)

    def view(self) -> Node:
        node = self.city.client.get_pole(self.pole.code).view.node
        assert node is not None
        return node

    def value(self, metric: str) -> float | None:
        found = self.city.client.get_pole(self.pole.code).value(metric)
        return None if found is None else found.value

    def counts(self) -> list[StoredCount]:
        return self.city.client.stored_counts([self.view().number])

    def reports(self) -> int:
        return sum(count.reports for count in self.counts())

    def console(self) -> str:
        path = self.board.console
        return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""

    def tell(self, **commands: object) -> dict[str, Any]:
        """Switch or break the node's board, as `poleward board tell` does."""
        self.wait_until(self.board.control.exists, "board in the rack")
        return asyncio.run(tell(self.board.control, commands))

    def dim(self, level: int, *, duration_s: int = 0) -> None:
        """Command the lamp; how fast it obeys is a benchmark's business."""
        outcome = self.city.client.set_pole_lamp(
            self.pole.code, level, duration_s=duration_s, timeout_s=COMMAND_S
        )
        assert outcome.status == "done", outcome

    def power_cut(self) -> None:
        self.tell(power_cut=True)

    def switch_off(self) -> None:
        self.tell(power=False)

    def wait_until(
        self, holds: Callable[[], bool], what: str, timeout_s: float = DEADLINE_S
    ) -> None:
        self.city.wait_until(holds, what=f"{self.pole.code}: {what}", timeout_s=timeout_s)

    def wait_online(self) -> None:
        self.wait_until(lambda: self.view().link_state == "online", "online")

    def wait_reports(self, more: int) -> None:
        """Wait until this many further reports are stored."""
        before = self.reports()
        self.wait_until(lambda: self.reports() >= before + more, f"{more} more reports")


class Relay:
    """Passes datagrams between one node and the gateway and keeps what the node sent."""

    def __init__(self, gateway: tuple[str, int] | None = None) -> None:
        self.from_node: list[bytes] = []
        self.answers: list[bytes] = []
        self._inner = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._inner.bind(("127.0.0.1", 0))
        self._outer = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        if gateway is not None:
            self.attach(gateway)
        self.uri = f"coap://127.0.0.1:{self._inner.getsockname()[1]}"
        self._node: tuple[str, int] | None = None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def send_to_gateway(self, datagram: bytes) -> None:
        """Send as if the node had, from the address that the gateway knows it by."""
        self._outer.send(datagram)

    def attach(self, gateway: tuple[str, int]) -> None:
        """Pass what the node sends on to this gateway."""
        self._outer.connect(gateway)

    def send_to_node(self, datagram: bytes) -> None:
        """Send as if the gateway had."""
        assert self._node is not None, "the node has not spoken yet"
        self._inner.sendto(datagram, self._node)

    def close(self) -> None:
        self._ended.set()
        self._thread.join()
        self._inner.close()
        self._outer.close()

    def _run(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._inner, selectors.EVENT_READ)
            selector.register(self._outer, selectors.EVENT_READ)
            while not self._ended.is_set():
                for key, _ in selector.select(0.1):
                    try:
                        if key.fileobj is self._inner:
                            datagram, self._node = self._inner.recvfrom(2048)
                            self.from_node.append(datagram)
                            self._outer.send(datagram)
                        else:
                            datagram = self._outer.recv(2048)
                            self.answers.append(datagram)
                            if self._node:
                                self._inner.sendto(datagram, self._node)
                    except OSError:
                        pass  # the gateway is down at the moment, or not attached yet


@pytest.fixture(scope="session")
def rig() -> Iterator[City]:
    """A city that all scenarios share; each restores what it disturbs.

    Not below pytest's folder: as root, the next pytest session takes away the right to pass
    through that, and with it the running database's files.
    """
    with tempfile.TemporaryDirectory(prefix="poleward-rig-") as folder:
        plan = CityPlan(Path(folder) / "city", RIG_POLES, report_interval_s=1)
        with City(plan) as city:
            city.bring_up(Silence())
            yield city


@pytest.fixture
def city(rig: City) -> City:
    """The shared city, with every program running."""
    rig.check()
    return rig


def coap_address(city: City) -> tuple[str, int]:
    host, _, port = city.coap.removeprefix("coap://").rpartition(":")
    return host, int(port)


@pytest.fixture
def coap(city: City) -> tuple[str, int]:
    """Address of the gateway's CoAP socket."""
    return coap_address(city)


class _Places:
    """Hands out places and area codes, each once in a run."""

    def __init__(self) -> None:
        self._used = 0

    def next(self) -> tuple[Pole, Area]:
        self._used += 1
        place = street.poles(400)[100 + self._used]
        area = Area(f"9901990{self._used:05d}", f"Test field {self._used}", street.DISTRICT.code)
        return replace(place, code=f"HIL-{self._used:06d}", area_code=area.code), area


_PLACES = _Places()

MakeNode = Callable[..., RigNode]


@pytest.fixture(scope="session")
def next_place() -> Callable[[], tuple[Pole, Area]]:
    """Give a pole and its area that no other test uses."""
    return _PLACES.next


@contextlib.contextmanager
def making_nodes(city: City) -> Iterator[MakeNode]:
    """Make a node in a pole and an area of its own, or one that may come into somebody's pole.

    Their power is taken at the end."""
    made: list[RigNode] = []

    def make(
        gateway_uri: str | None = None,
        gateway_name: str = GATEWAY_NAME,
        spare_for: Pole | None = None,
    ) -> RigNode:
        if spare_for is not None:
            pole = spare_for
        else:
            pole, area = _PLACES.next()
            city.client.create_areas([area])
            city.client.import_poles([pole])
        (identity,) = city.add_nodes(
            [pole],
            gateway_uri=gateway_uri,
            gateway_name=gateway_name,
            commission=spare_for is None,
        )
        folder = NodeFolder.load(city.nodes_dir / identity.name)
        made.append(RigNode(city, pole, folder, identity.claim_code, identity.bootstrap_secret))
        return made[-1]

    yield make
    for node in made:
        node.switch_off()


@pytest.fixture
def make_node(city: City) -> Iterator[MakeNode]:
    """Make nodes of the test's own."""
    with making_nodes(city) as make:
        yield make


@pytest.fixture
def node(make_node: MakeNode) -> RigNode:
    """A node of the test's own, online."""
    made = make_node()
    made.wait_online()
    return made


@pytest.fixture
def relay(coap: tuple[str, int]) -> Iterator[Relay]:
    """A relay in front of the gateway."""
    running = Relay(coap)
    yield running
    running.close()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Attach the consoles of the test's nodes and the ends of the logs to a failure."""
    outcome = yield
    report = outcome.get_result()  # type: ignore[attr-defined]
    rig = item.funcargs.get("city") or item.funcargs.get("rig")  # type: ignore[attr-defined]
    if not report.failed or not isinstance(rig, City):
        return
    nodes = [found for found in item.funcargs.values() if isinstance(found, RigNode)]  # type: ignore[attr-defined]
    for found in nodes:
        report.sections.append((f"console of {found.pole.code}", found.console()[-4000:]))
    for log in sorted((rig.plan.data / "logs").glob("*.log")):
        text = log.read_text(encoding="utf-8", errors="replace")
        report.sections.append((log.name, text[-3000:]))


@pytest.fixture(scope="session")
def stranger_certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate and its key that no fleet has signed."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "gw-centre")])
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .sign(key, hashes.SHA256())
    )
    folder = tmp_path_factory.mktemp("stranger")
    certificate_file, key_file = folder / "certificate.pem", folder / "key.pem"
    certificate_file.write_bytes(certificate.public_bytes(Encoding.PEM))
    key_file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return certificate_file, key_file
