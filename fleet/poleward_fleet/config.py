"""Configuration of the fleet manager.

Not its parsing: the command line and __main__ fill it in.
"""

from dataclasses import dataclass, field
from pathlib import Path

from poleward_fleet.domain.history import Retention


@dataclass(frozen=True, slots=True)
class FleetConfig:
    """Where the fleet manager keeps its data and listens.

    Args:
        data_dir: Folder for keys, artifacts and, without database_url, the database.
        database_url: postgresql://… of a database to use; None starts an embedded PostgreSQL.
        host: Address to listen on.
        web_port: Port of the web pages; 0 chooses a free one, as for the other ports.
        api_port: Port of the gRPC API for people and programs (TLS and a token).
        link_port: Port of the gRPC link to gateways (mutual TLS).
        public_host: Name or address under which others reach this machine; None for host.
        metrics_port: TCP port on 127.0.0.1 for Prometheus; None for none, 0 chooses a free one.
        retention: How long each kind of record is kept.
        page_origin: Web origin of the pages, e.g. "https://fleet.example" behind a proxy; empty for
            the address of this machine.
        openid_file: Settings of an OpenID provider at which people sign in; None for none.
    """

    data_dir: Path
    database_url: str | None = None
    host: str = "127.0.0.1"
    web_port: int = 8080
    api_port: int = 7443
    link_port: int = 7444
    public_host: str | None = None
    metrics_port: int | None = None
    retention: Retention = field(default_factory=Retention)
    page_origin: str = ""
    openid_file: Path | None = None
