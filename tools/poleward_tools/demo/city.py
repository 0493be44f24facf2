"""A small city on one machine: fleet, gateway and nodes on virtual boards as separate processes.

It brings them up, provisions everything over the API and takes them down; it shows nothing and
judges nothing. The demo and the system tests stand on it.
"""

import json
import socket
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from poleward_manifest.signatures import public_bytes
from poleward_manifest.trust import Role, TrustDocument, sign
from poleward_tools.client import FleetClient, FleetProfile
from poleward_tools.client.views import ManufacturedNode, Pole
from poleward_tools.demo import factory, street
from poleward_tools.demo.narration import Narrator
from poleward_tools.demo.program import Program
from poleward_tools.exit_codes import USAGE, CommandError
from poleward_tools.flash_image.node_nvs import NodeIdentity, Trust, new_identity
from poleward_tools.flashing.claim_code import hash_claim_code
from poleward_tools.flashing.production import following
from poleward_tools.releases import keys, trust_folder
from poleward_tools.releases.sbom import make_sbom
from poleward_tools.virtual_board.air_series import air_series
from poleward_tools.virtual_board.node_folder import NodeFolder
from poleward_tools.virtual_board.surroundings import Surroundings

GATEWAY_NAME = "gw-centre"
FACTORY_VERSION = "1.0.0"
# Bounds for what does not come up at all; a slow machine takes its time.
_READY_S = 180.0
_POLL_S = 0.25
_DOCUMENT_DAYS = 730
# EUI-48 with the bit for locally administered addresses set (IEEE 802, 8.4), then "PL".
_MAC_PREFIX = b"\x02\x50\x4c"


@dataclass(frozen=True, slots=True)
class CityPlan:
    """What to bring up.

    Args:
        data: folder for everything; may hold a city that was brought up before.
        poles: how many poles, each with a node.
        report_interval_s: between a node's reports.
        web_port: preferred port of the web pages; another one when it is taken; 0 for any.
        has_directives: nodes install only what this fleet directs; else what the city's key signed.
    """

    data: Path
    poles: int
    report_interval_s: int = 5
    web_port: int = 0
    has_directives: bool = False


class City:
    """Everything that runs; a context manager that leaves nothing running.

    Attributes:
        client: connection to the fleet as its administrator, once it is up.
        poles: the poles in the order they were chosen.
        web: address of the web pages, once the fleet is up.
        addresses: what the fleet says about where it listens: web, api, link.
        coap: URI of the gateway for nodes, once it is up.
        gateway_metrics_port: where it tells Prometheus, once it is up.
        site: where technicians' devices find the gateway, once it is up.
    """

    def __init__(self, plan: CityPlan) -> None:
        self.plan = plan
        self.poles: list[Pole] = []
        self.web = ""
        self.addresses: dict[str, str] = {}
        self.coap = ""
        self.gateway_metrics_port = 0
        self.site = ""
        self.profile: FleetProfile | None = None
        self._client: FleetClient | None = None
        self._key: Ed25519PrivateKey | None = None
        self._factory_release: factory.BuiltRelease | None = None
        self._made_nodes = 0
        logs = plan.data / "logs"
        self.fleet_dir = plan.data / "fleet"
        self.gateway_dir = plan.data / "gateway"
        self.nodes_dir = plan.data / "nodes"
        self.key_file = plan.data / "keys" / "release.pem"
        self._document_file = trust_folder.document_path(self.key_file.parent, 1)
        self._state_file = plan.data / "city.json"
        self._log_dir = logs
        self.fleet = Program("fleet", [], log=logs / "fleet.log")
        self.gateway = Program("gateway", [], log=logs / "gateway.log")
        self.boards = Program(
            "board host",
            ["board", "serve", str(self.nodes_dir)],
            log=logs / "boards.log",
        )

    @property
    def client(self) -> FleetClient:
        """Connection to the fleet as its administrator."""
        assert self._client is not None, "the fleet is not up"
        return self._client

    @property
    def signing_key(self) -> Ed25519PrivateKey:
        """Key that signs the city's releases."""
        assert self._key is not None, "the city is not up"
        return self._key

    def __enter__(self) -> "City":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def bring_up(self, narrator: Narrator) -> None:
        """Start all programs and provision what is not there yet.

        Raises:
            CommandError: the folder cannot be used or a program did not start; show it.
            ClientError: the fleet refused something; show it.
        """
        self.poles = street.poles(self.plan.poles)
        try:
            state = self._load_state()
            self.plan.data.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise CommandError(f"Cannot use {self.plan.data}: {error}.", USAGE) from error
        self._key = factory.load_or_make_key(self.key_file)
        # The database takes longest: it starts while the release is built.
        # The gateway looks for the link where its enrolment said.
        link_port = int(state["link_port"]) if state else 0
        self._start_fleet(web=_free_port(self.plan.web_port), link=link_port)
        with narrator.step("Building and signing release 1.0.0"):
            self._factory_release = factory.build_release(
                FACTORY_VERSION, sequence=1, key=self._key
            )
        with narrator.step("Starting the fleet"):
            self._connect_to_fleet()
        if state is None:
            with narrator.step("Importing areas and poles"):
                self._provision_fleet(self._factory_release)
            with narrator.step("Enrolling the gateway"):
                self._enroll_gateway()
        with narrator.step("Starting the gateway"):
            self._start_gateway(int(state["coap_port"]) if state else 0)
        if state is None:
            with narrator.step("Making and commissioning nodes", total=len(self.poles)) as step:
                self.add_nodes(self.poles, reached=step.reached)
            self._save_state()
        with narrator.step("Giving power to the nodes"):
            self.boards.start()

    def add_nodes(
        self,
        poles: Sequence[Pole],
        *,
        gateway_uri: str | None = None,
        gateway_name: str = GATEWAY_NAME,
        commission: bool = True,
        document: bytes = b"",
        reached: Callable[[int], None] = lambda _: None,
    ) -> list[NodeIdentity]:
        """Make a node for each of these poles, commission it and give it power.

        Args:
            poles: known to the fleet and without a node.
            gateway_uri: where the nodes look for their gateway; None for where it is.
            gateway_name: that serves them.
            commission: put them into their poles; else somebody does that later.
            document: trust document that they follow from their first boot on; else the city's
                own, or its key where it has none.
            reached: told how many are done.

        Raises:
            ClientError: the fleet refused one; those before are commissioned.
        """
        assert self._factory_release is not None
        identities = [new_identity(self._next_mac()) for _ in poles]
        self.client.import_nodes(
            ManufacturedNode(
                mac=identity.mac,
                bootstrap_secret=identity.bootstrap_secret,
                bootstrap_salt=identity.bootstrap_salt,
                claim_code_hash=hash_claim_code(identity.mac, identity.claim_code),
                board_profile=identity.profile,
            )
            for identity in identities
        )
        uri = gateway_uri or self.coap
        trust = Trust(uri, (self.signing_key.public_key().public_bytes_raw(),))
        if not document and self._document_file.exists():
            document = trust_folder.load(self._document_file)
        if document:
            trust = following(uri, document)
        product = factory.production_run(self._factory_release, trust)
        air = air_series()
        self.nodes_dir.mkdir(exist_ok=True, mode=0o700)
        for done, (identity, pole) in enumerate(zip(identities, poles, strict=True), start=1):
            if commission:
                self.client.commission(
                    mac=identity.mac,
                    claim_code=identity.claim_code,
                    pole_code=pole.code,
                    gateway_name=gateway_name,
                    report_interval_s=self.plan.report_interval_s,
                )
            surroundings = Surroundings(
                seed=int.from_bytes(identity.mac[-3:], "big"),
                latitude_deg=pole.latitude_deg,
                longitude_deg=pole.longitude_deg,
                lamp_nominal_w=pole.lamp_nominal_w,
                air=air,
            )
            NodeFolder.make(self.nodes_dir, identity, surroundings, product)
            reached(done)
        return identities

    def check(self) -> None:
        """Make sure that every program still runs.

        Raises:
            ProgramError: one ended by itself; show it.
        """
        for program in (self.fleet, self.gateway, self.boards):
            program.check()

    def wait_until(
        self,
        holds: Callable[[], bool],
        *,
        what: str,
        timeout_s: float,
        poll_s: float = _POLL_S,
    ) -> None:
        """Wait until a condition holds while every program runs.

        Raises:
            CommandError: it does not hold in time; `what` names it.
            ProgramError: a program ended meanwhile.
        """
        give_up_at = time.monotonic() + timeout_s
        while not holds():
            self.check()
            if time.monotonic() > give_up_at:
                raise CommandError(f"Not in {timeout_s:.0f} s: {what}. Logs: {self._log_dir}")
            time.sleep(poll_s)

    def start_gateway_again(self) -> None:
        """Start the gateway on the ports that its nodes know, after it was stopped or killed."""
        self._start_gateway(_port(self.coap), _port(self.site))

    def start_fleet_again(self) -> None:
        """Start the fleet on the ports that its gateway knows, after it was stopped or killed."""
        ports = {name: _port(self.addresses[name]) for name in ("web", "api", "link")}
        self._start_fleet(**ports)
        self.fleet.wait_ready(_READY_S)

    def stop(self) -> None:
        """Take everything down, nodes first; goes on when a part does not want to end."""
        if self._client is not None:
            self._client.close()
            self._client = None
        for program in (self.boards, self.gateway, self.fleet):
            # Each must be tried, whatever happens to the one before.
            with suppress(OSError):
                program.stop()

    def _start_fleet(self, *, web: int, api: int = 0, link: int = 0) -> None:
        self.fleet = Program(
            "fleet",
            [
                "fleet", "serve", "--data", str(self.fleet_dir),
                "--web-port", str(web), "--api-port", str(api), "--link-port", str(link),
            ],
            log=self._log_dir / "fleet.log",
            run_file=self.fleet_dir / "run" / "fleet.json",
        )  # fmt: skip
        self.fleet.start()

    def _connect_to_fleet(self) -> None:
        self.addresses = {
            name: str(value) for name, value in self.fleet.wait_ready(_READY_S).items()
        }
        self.web = self.addresses["web"]
        admin = json.loads((self.fleet_dir / "admin.json").read_text(encoding="utf-8"))
        self.profile = FleetProfile(self.web, str(admin["api_token"]))
        self._client = FleetClient(self.profile)

    def _provision_fleet(self, release: factory.BuiltRelease) -> None:
        self.client.trust.trust_key(self.signing_key.public_key().public_bytes_raw(), "demo")
        if self.plan.has_directives:
            self._publish_document()
        self.publish(release, notes="What the factory puts on every node.")
        self.client.create_areas(street.areas())
        self.client.import_poles(self.poles)

    def _publish_document(self) -> None:
        root = keys.create_key(self.key_file.with_name("root.pem"))
        (director,) = self.client.trust.get().directive_keys
        document = TrustDocument(
            1,
            trust_folder.in_days(_DOCUMENT_DAYS),
            Role((public_bytes(root),), 1),
            Role((public_bytes(self.signing_key),), 1),
            Role((director.public_key,), 1),
        )
        signed = sign(document, [root, self.signing_key])
        trust_folder.save(self._document_file, signed)
        self.client.trust.publish_document(signed)

    def publish(self, release: factory.BuiltRelease, notes: str) -> bytes:
        """Upload and publish a release; returns the digest of its envelope."""
        self.client.upload_artifact(release.bundle)
        if release.image is not None:
            self.client.upload_artifact(release.image)
        return self.client.publish_release(release.envelope, notes, make_sbom(release.built))

    def _enroll_gateway(self) -> None:
        token = self.client.create_enrollment_token(
            gateway_name=GATEWAY_NAME, area_code=street.CITY.code
        )
        enrolling = Program(
            "gateway's enrolment",
            [
                "gateway", "enroll", "--data", str(self.gateway_dir),
                "--fleet", self.web,
            ],
            log=self._log_dir / "enroll.log",
            environment={"POLEWARD_ENROLLMENT_TOKEN": token},
        )  # fmt: skip
        enrolling.start()
        try:
            if enrolling.wait(_READY_S):
                enrolling.check()
        finally:
            enrolling.stop()

    def _start_gateway(self, coap_port: int, site_port: int = 0) -> None:
        self.gateway = Program(
            "gateway",
            [
                "gateway", "serve", "--data", str(self.gateway_dir),
                "--coap-port", str(coap_port), "--site-port", str(site_port),
                "--metrics-port", "0",
            ],
            log=self._log_dir / "gateway.log",
            run_file=self.gateway_dir / "run" / "gateway.json",
        )  # fmt: skip
        self.gateway.start()
        ready = self.gateway.wait_ready(_READY_S)
        self.coap, self.site = str(ready["coap"]), str(ready["site"])
        self.gateway_metrics_port = int(ready["metrics_port"])

    def _next_mac(self) -> bytes:
        self._made_nodes += 1
        return _MAC_PREFIX + self._made_nodes.to_bytes(3, "big")

    def _load_state(self) -> dict[str, int] | None:
        try:
            state = json.loads(self._state_file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            if self.plan.data.exists() and any(self.plan.data.iterdir()):
                raise CommandError(
                    f"{self.plan.data} is not empty and holds no finished city. "
                    "Choose another folder, or remove it.",
                    USAGE,
                ) from None
            return None
        if state["poles"] != self.plan.poles:
            raise CommandError(
                f"{self.plan.data} holds a city of {state['poles']} poles, not "
                f"{self.plan.poles}. Say --poles {state['poles']} or choose another folder.",
                USAGE,
            )
        self._made_nodes = state["made_nodes"]
        return dict(state)

    def _save_state(self) -> None:
        state = {
            "poles": self.plan.poles,
            "made_nodes": self._made_nodes,
            "coap_port": _port(self.coap),
            "link_port": _port(self.addresses["link"]),
        }
        self._state_file.write_text(json.dumps(state), encoding="utf-8")


def _port(address: str) -> int:
    return int(address.rpartition(":")[2])


def _free_port(preferred: int) -> int:
    """Take the preferred TCP port when nobody listens there; else 0, which means any."""
    if not preferred:
        return 0
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", preferred))
        except OSError:
            return 0
    return preferred
