"""What a person decides about a gateway: where it keeps its data and where it listens.

Not what the fleet decides (nodes, keys, releases): that is desired state and kept in the database.
"""

from dataclasses import dataclass
from pathlib import Path

from poleward_gateway.domain.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class GatewayConfig:
    """Settings of one gateway process.

    Args:
        data_dir: Folder of the gateway; made when absent, readable by its owner only.
        coap_host: Address to serve nodes on; `::` serves IPv6 and IPv4.
        coap_port: UDP port to serve nodes on; 0 chooses a free one.
        production: Refuses everything that is meant for tests.
        insecure_nosec: Also answers requests without OSCORE; for interoperability tests only.
        metrics_port: TCP port on 127.0.0.1 for Prometheus; None for none, 0 chooses a free one.

    Raises:
        ConfigurationError: Settings that contradict each other; correct the command line.
    """

    data_dir: Path
    coap_host: str = "127.0.0.1"
    coap_port: int = 5683
    production: bool = False
    insecure_nosec: bool = False
    metrics_port: int | None = None

    def __post_init__(self) -> None:
        for name, port in (("coap_port", self.coap_port), ("metrics_port", self.metrics_port)):
            if port is not None and not 0 <= port <= 65535:
                raise ConfigurationError(f"{name} is {port}; choose one from 0 to 65535")
        if self.production and self.insecure_nosec:
            raise ConfigurationError(
                "insecure_nosec answers nodes that prove nothing and is refused in production; "
                "leave one of the two out"
            )

    @property
    def database_path(self) -> Path:
        """The one SQLite file: spool, desired state, security contexts."""
        return self.data_dir / "gateway.db"

    @property
    def artifacts_dir(self) -> Path:
        """Release content by digest."""
        return self.data_dir / "artifacts"

    @property
    def identity_dir(self) -> Path:
        """Private key, certificate and the fleet's CA certificate."""
        return self.data_dir / "identity"

    @property
    def local_socket(self) -> Path:
        """Where people at this machine ask a running gateway."""
        return self.data_dir / "run" / "local.sock"

    @property
    def run_file(self) -> Path:
        """Where a running gateway says how it can be reached."""
        return self.data_dir / "run" / "gateway.json"
