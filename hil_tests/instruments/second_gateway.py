"""Further gateways of a city: enrolled over the API, run as processes of their own.

Not the city's first gateway, which the city itself keeps.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from poleward_gateway.adapters.fleet_link import identity
from poleward_gateway.adapters.secrets.sealed_box import open_box
from poleward_gateway.config import GatewayConfig
from poleward_tools.client.link_stream import LinkCredentials
from poleward_tools.demo import street
from poleward_tools.demo.city import City
from poleward_tools.demo.program import Program

READY_S = 180.0


@dataclass(frozen=True, slots=True)
class OtherGateway:
    """A gateway that runs.

    Args:
        coap: Where nodes find it.
    """

    city: City
    name: str
    coap: str
    program: Program

    @property
    def folder(self) -> Path:
        """Where it keeps what it must not forget."""
        return self.city.plan.data / self.name

    @property
    def port(self) -> int:
        """Its CoAP port."""
        return int(self.coap.rpartition(":")[2])

    def reports_on_disk(self) -> int:
        """Count the reports that it keeps; those that the fleet does not have are among them."""
        with closing(sqlite3.connect(GatewayConfig(self.folder).database_path)) as database:
            (count,) = database.execute("SELECT count(*) FROM report").fetchone()
        return int(count)

    @property
    def credentials(self) -> LinkCredentials:
        """What it proves itself with, as somebody who stole its disk would have it."""
        return credentials_of(self.city, self.name)


def credentials_of(city: City, name: str) -> LinkCredentials:
    """Read key and certificate of a gateway that was enrolled on this machine."""
    config = GatewayConfig(city.plan.data / name)
    known = identity.load(config.identity_dir, open_box(config.key_source, config.key_file))
    return LinkCredentials(known.link_address, known.ca_pem, known.key_pem, known.certificate_pem)


def enroll(city: City, name: str) -> Path:
    """Enrol a gateway for the whole city; return its folder."""
    folder = city.plan.data / name
    token = city.client.create_enrollment_token(gateway_name=name, area_code=street.CITY.code)
    enrolling = Program(
        "enrolment",
        ["gateway", "enroll", "--data", str(folder), "--fleet", city.web],
        log=city.plan.data / "logs" / f"{name}-enroll.log",
        environment={"POLEWARD_ENROLLMENT_TOKEN": token},
    )
    enrolling.start()
    try:
        if enrolling.wait(READY_S):
            enrolling.check()
    finally:
        enrolling.stop()
    return folder


@contextmanager
def other_gateway(
    city: City,
    name: str,
    *,
    public_uri: str = "",
    coap_port: int = 0,
    script: Path | None = None,
) -> Iterator[OtherGateway]:
    """Enrol a gateway for the whole city and run it inside the block.

    Args:
        city: That it joins.
        name: Of the gateway.
        public_uri: Where its nodes find it, when that is not its own address.
        coap_port: Where it listens, when it takes the place of another one.
        script: What runs as `poleward`; None for itself.
    """
    folder = enroll(city, name)
    program = Program(
        name,
        [
            "gateway", "serve", "--data", str(folder), "--coap-port", str(coap_port),
            "--public-uri", public_uri,
        ],
        log=city.plan.data / "logs" / f"{name}.log",
        run_file=folder / "run" / "gateway.json",
        script=script,
    )  # fmt: skip
    program.start()
    try:
        yield OtherGateway(city, name, str(program.wait_ready(READY_S)["coap"]), program)
    finally:
        program.stop()
