"""Attacks that must fail: replays, clones, stolen gateways, labels and disks, guesses."""

import asyncio
import datetime
import random
import shutil
import struct
from collections.abc import Callable, Iterator

import grpc
import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from hil_tests.conftest import DEADLINE_S, MakeNode, Relay, RigNode
from hil_tests.instruments.second_gateway import OtherGateway, other_gateway
from poleward_fleet.adapters.certificates import FileCertificateAuthority
from poleward_tools.client import ClientError, FleetClient, FleetProfile
from poleward_tools.client.errors import Failure
from poleward_tools.client.link_stream import BatchMaker, LinkCredentials, LinkStream
from poleward_tools.client.views import Area, Pole
from poleward_tools.demo.city import City
from poleward_tools.virtual_board.node_folder import NodeFolder

pytestmark = [pytest.mark.system]

POST, UNAUTHORIZED = 0x02, 0x81
METRICS = ("lamp.level_percent",)


def with_new_id(datagram: bytes) -> bytes:
    """Change the message id, as an attacker would to get past deduplication."""
    return datagram[:2] + struct.pack("!H", random.randrange(65536)) + datagram[4:]


def requests_in(datagrams: list[bytes]) -> list[bytes]:
    """Return the confirmable OSCORE requests; all look like a POST from outside."""
    return [d for d in list(datagrams) if d[0] & 0x30 == 0 and d[1] == POST]


@pytest.fixture
def foreign_gateway(city: City) -> Iterator[OtherGateway]:
    with other_gateway(city, "gw-foreign") as made:
        yield made


@pytest.fixture
def tap(city: City) -> Iterator[tuple[Relay, str]]:
    """A gateway whose nodes reach it only through a relay that listens, and its name."""
    relay = Relay()
    try:
        with other_gateway(city, "gw-tapped", public_uri=relay.uri) as gateway:
            host, _, port = gateway.coap.removeprefix("coap://").rpartition(":")
            relay.attach((host, int(port)))
            yield relay, gateway.name
    finally:
        relay.close()


def test_captured_registrations_and_reports_are_refused(
    tap: tuple[Relay, str], make_node: MakeNode
) -> None:
    relay, gateway_name = tap
    node = make_node(relay.uri, gateway_name)
    node.wait_online()
    node.wait_reports(3)
    captured = requests_in(relay.from_node)
    assert len(captured) >= 5, "bootstrap, registration, reports"
    node.switch_off()
    before = len(relay.answers)
    for datagram in captured:
        relay.send_to_gateway(with_new_id(datagram))
    node.wait_until(lambda: len(relay.answers) - before >= len(captured), "answers")
    codes = [answer[1] for answer in relay.answers[before:]]
    # A challenge with Echo is protected: from outside it looks like 2.04. One for each context.
    assert codes.count(UNAUTHORIZED) >= len(codes) - 2
    node.wait_until(lambda: node.view().link_state != "online", "silent, whatever is repeated")
    for count in node.counts():
        assert count.reports == count.last_sequence + 1 - count.first_sequence
    assert node.city.client.get_node(str(node.view().number)).life_state == "in_service"


def test_a_captured_command_moves_no_lamp(tap: tuple[Relay, str], make_node: MakeNode) -> None:
    relay, gateway_name = tap
    node = make_node(relay.uri, gateway_name)
    node.wait_online()
    before = len(relay.answers)
    node.dim(90)
    captured = requests_in(relay.answers[before:])
    assert captured
    node.dim(20)
    for datagram in captured:
        relay.send_to_node(with_new_id(datagram))
        relay.send_to_node(datagram)
    node.wait_until(lambda: node.value("lamp.level_percent") == 20, "the fade's end")
    node.wait_reports(2)
    assert node.value("lamp.level_percent") == 20


def test_a_cloned_node_is_quarantined_and_gets_nothing(node: RigNode) -> None:
    node.wait_reports(2)
    clone_path = node.board.path.with_name(node.board.path.name + "-clone")
    node.switch_off()
    # What a thief does: read the flash, write it to another board, put the first one back.
    shutil.copytree(
        node.board.path, clone_path, ignore=shutil.ignore_patterns("board.json", "port", "control")
    )
    node.tell(power=True)
    node.wait_reports(5)  # the numbers that the copy goes on with are used up
    (clone_path / "board.json").hardlink_to(node.board.path / "board.json")
    clone = RigNode(node.city, node.pole, NodeFolder.load(clone_path))
    try:
        number = str(node.view().number)
        life = node.city.client.get_node
        node.wait_until(lambda: life(number).life_state == "quarantined", "quarantined", 120)

        def refusals() -> int:
            return min(each.console().count("refused: 4.01") for each in (clone, node))

        node.wait_until(lambda: refusals() >= 2, "both refused")
        stored = node.reports()  # by now with what was on its way
        node.wait_until(lambda: refusals() >= 3, "both refused once more")
        assert node.reports() == stored
        assert node.city.client.take_node_step("release", [number])[0].life_state == "commissioned"
    finally:
        clone.switch_off()
        shutil.rmtree(clone_path)


def test_a_node_with_a_foreign_gateway_gets_nothing(
    foreign_gateway: OtherGateway, make_node: MakeNode
) -> None:
    node = make_node(foreign_gateway.coap)
    node.wait_until(lambda: "bootstrap failed: refused: 4.01" in node.console(), "refused")
    assert node.view().link_state == "unknown"
    assert node.reports() == 0

    def is_told() -> bool:
        return any(
            (stranger.gateway_name, stranger.kind, stranger.node_number)
            == (foreign_gateway.name, "foreign_node", node.view().number)
            for stranger in node.city.client.list_strangers()
        )

    node.wait_until(is_told, "the fleet knows who tried", 120)


def test_a_gateway_gets_neither_keys_nor_a_word_for_a_node_that_is_not_its_own(
    foreign_gateway: OtherGateway, node: RigNode
) -> None:
    number = node.view().number
    foreign_gateway.program.stop()
    with pytest.raises(ClientError):
        # Its certificate is no API token either.
        FleetClient(FleetProfile(node.city.web, "x." + "0" * 32)).get_node(str(number))
    assert "never assigned" in asyncio.run(speak_of(foreign_gateway.credentials, number))
    node.wait_reports(1)


async def speak_of(credentials: LinkCredentials, number: int) -> str:
    """Report for a node as a gateway; return what the fleet says to that."""
    made = BatchMaker([number], METRICS, [99.0], began_at_ms=1, interval_ms=1000)
    async with LinkStream(credentials) as stream:
        try:
            await stream.hello("stolen")
            await stream.send(made.batch(1))
            await stream.acknowledged()
        except (grpc.aio.AioRpcError, ConnectionError):
            return await stream.refusal()
    return "stored"


def test_a_revoked_gateway_is_cut_off_although_it_has_its_key(
    city: City, foreign_gateway: OtherGateway
) -> None:
    def is_connected() -> bool:
        return next(
            g.connected for g in city.client.list_gateways() if g.name == foreign_gateway.name
        )

    city.wait_until(is_connected, what="connected", timeout_s=DEADLINE_S)
    city.client.revoke_gateway(foreign_gateway.name, "stolen")
    city.wait_until(lambda: not is_connected(), what="cut off", timeout_s=DEADLINE_S)
    assert "revoked or replaced" in asyncio.run(speak_of(foreign_gateway.credentials, 1))


def test_an_expired_certificate_of_our_own_ca_opens_nothing(city: City) -> None:
    now_ms = int(datetime.datetime.now(datetime.UTC).timestamp() * 1000)
    authority = FileCertificateAuthority.load_or_make(city.fleet_dir / "ca", now_ms)
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "gw-centre")])
    request = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA256())
    csr = request.public_bytes(serialization.Encoding.PEM).decode()
    expired = authority.sign_gateway(csr, "gw-centre", now_ms - 40 * 86_400_000)
    key_pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    credentials = LinkCredentials(
        city.addresses["link"], authority.ca_pem.encode(), key_pem, expired.pem.encode()
    )
    assert "stored" not in (refusal := asyncio.run(speak_of(credentials, 1)))
    assert "UNAVAILABLE" in refusal, "TLS does not let it in"
    # One that the CA signs today under a name that is in use opens nothing either.
    unknown = authority.sign_gateway(csr, "gw-centre", now_ms)
    credentials = LinkCredentials(
        city.addresses["link"], authority.ca_pem.encode(), key_pem, unknown.pem.encode()
    )
    assert "revoked or replaced" in asyncio.run(speak_of(credentials, 1))


def test_a_photographed_label_is_of_no_use_elsewhere(
    city: City, make_node: MakeNode, next_place: Callable[[], tuple[Pole, Area]]
) -> None:
    pole, area = next_place()
    city.client.create_areas([area])
    city.client.import_poles([pole])
    node = make_node()
    assert node.claim_code
    with pytest.raises(ClientError, match="stands in pole"):
        city.client.commission(mac=node.board.mac, claim_code=node.claim_code, pole_code=pole.code)
    assert city.client.get_pole(pole.code).view.node is None


def test_a_technician_ends_at_their_area(
    city: City, node: RigNode, next_place: Callable[[], tuple[Pole, Area]]
) -> None:
    pole, area = next_place()
    city.client.create_areas([area])
    city.client.import_poles([pole])
    city.client.accounts.put("technician-1", roles=["technician"], area_code=area.code)
    token = city.client.accounts.create_token("technician-1")
    with FleetClient(FleetProfile(city.web, token)) as technician:
        assert [view.pole.code for view in technician.list_poles()] == [pole.code]
        number = str(node.view().number)
        for attempt in (
            lambda: technician.get_node(number),
            lambda: technician.take_node_step("lost", [number]),
            lambda: technician.set_pole_lamp(node.pole.code, 0),
            lambda: technician.commission(
                mac=node.board.mac, claim_code=node.claim_code, pole_code=node.pole.code
            ),
        ):
            with pytest.raises(ClientError, match="does not exist"):
                attempt()
        with pytest.raises(ClientError, match="may not"):
            technician.revoke_gateway("gw-centre")
    assert node.view().life_state == "in_service"


def test_guessing_a_claim_code_or_a_password_is_locked_out(city: City, make_node: MakeNode) -> None:
    node = make_node()
    for _ in range(5):
        with pytest.raises(ClientError) as refused:
            city.client.commission(mac=node.board.mac, claim_code="GUESS", pole_code=node.pole.code)
        assert refused.value.failure is Failure.REFUSED
    with pytest.raises(ClientError, match="too many failed attempts"):
        city.client.commission(
            mac=node.board.mac, claim_code=node.claim_code, pole_code=node.pole.code
        )
    with httpx.Client(base_url=city.web) as browser:
        page = browser.get("/login").text
        token = page.split('name="login_token" value="')[1].split('"')[0]
        guess = {"name": "nobody", "password": "guess", "login_token": token}
        codes = [browser.post("/login", data=guess).status_code for _ in range(6)]
    assert codes[:5] == [401] * 5
    assert codes[5] == 429


def test_a_stolen_database_without_the_key_file_gives_away_no_secret(
    city: City, node: RigNode
) -> None:
    node.wait_reports(1)
    secrets = [node.bootstrap_secret, node.claim_code.encode()]
    secrets += [secret.hex().encode() for secret in secrets[:1]]
    admin = (city.fleet_dir / "admin.json").read_text(encoding="utf-8")
    secrets.append(admin.split('"api_token": "')[1].split(".")[0].encode())
    key = (city.fleet_dir / "secrets" / "database.key").read_bytes()
    files = [path for path in (city.fleet_dir / "postgres").rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) > 1_000_000
    for path in files:
        content = path.read_bytes()
        for secret in (*secrets, key):
            assert secret not in content, path
