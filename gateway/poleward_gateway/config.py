"""What a person decides about a gateway: where it keeps its data and where it listens.

Not what the fleet decides (nodes, keys, releases): that is desired state and kept in the database.
"""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from poleward_gateway.domain.errors import ConfigurationError

REPORTS_MAX_LEAST = 10_000
"""Less would drop what is only on its way."""
TRIAL_S = (5, 3600)
"""Least and most; nodes are heard at least every 300 s (nodelink.limits.LIFETIME_S)."""
LOG_FORMATS = ("text", "json")

_KINDS: dict[str, type] = {
    str(int): int,
    str(int | None): int,
    str(bool): bool,
}
_WORDS = {int: "an integer", bool: "true or false", str: "a text"}
_COAP_URI = re.compile(r"coap://(\[[0-9a-fA-F:.]+\]|[0-9A-Za-z.-]+)(:\d{1,5})?")

_SITE_URL = re.compile(r"https?://(\[[0-9a-fA-F:.]+\]|[0-9A-Za-z.-]+)(:\d{1,5})?")


@dataclass(frozen=True, slots=True)
class GatewayConfig:
    """Settings of one gateway process.

    Args:
        data_dir: Folder of the gateway; made when absent, readable by its owner only.
        coap_host: Address to serve nodes on; `::` serves IPv6 and IPv4.
        coap_port: UDP port to serve nodes on; 0 chooses a free one.
        production: Refuses everything that is meant for tests.
        insecure_nosec: Also answers requests without OSCORE; for interoperability tests only.
        public_uri: Where nodes find the gateway, e.g. "coap://gw-1.example:5683"; empty for the
            address that they speak to. With a name, a replacement needs no other address.
        key_source: Of the key that seals secrets on disk: file:PATH, env:NAME, command:WORDS;
            empty for a file beside the data.
        metrics_port: TCP port on 127.0.0.1 for Prometheus, health and status; None for none, 0
            chooses a free one.
        site_host: Address to serve technicians' devices on.
        site_port: TCP port for technicians' devices while there is no uplink; None for none, 0
            chooses a free one.
        site_url: Where those devices find it, e.g. "https://gw-1.local"; empty for site_host and
            site_port. A page that was loaded by HTTPS asks only HTTPS: put a proxy in front.
        reports_max: So many reports wait for the fleet before the oldest are dropped.
        log_format: "text" for people, "json" for programs.
        trial_s: So long a new release of the gateway may take to prove itself.

    Raises:
        ConfigurationError: Settings that contradict each other; the message names the key.
    """

    data_dir: Path
    coap_host: str = "127.0.0.1"
    coap_port: int = 5683
    production: bool = False
    insecure_nosec: bool = False
    metrics_port: int | None = None
    public_uri: str = ""
    key_source: str = ""
    site_host: str = "127.0.0.1"
    site_port: int | None = None
    site_url: str = ""
    reports_max: int = 10_000_000
    log_format: str = "text"
    trial_s: int = 480

    @classmethod
    def from_file(cls, path: Path, given: Mapping[str, Any]) -> "GatewayConfig":
        """Read settings from a TOML file with the names of this class.

        Args:
            path: The file.
            given: Settings of the command line, which count more; None for those not given.

        Raises:
            ConfigurationError: The file cannot be read, or a key is unknown or of the wrong kind.
        """
        try:
            settings = tomllib.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ConfigurationError(f"{path} cannot be read: {error}") from error
        kinds = {field.name: field.type for field in fields(cls)}
        for key, value in settings.items():
            if key not in kinds:
                raise ConfigurationError(
                    f"{path}: there is no setting {key}; there is {', '.join(sorted(kinds))}"
                )
            kind = _KINDS.get(str(kinds[key]), str)
            if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
                raise ConfigurationError(f"{path}: {key} is {value!r}, not {_WORDS[kind]}")
        settings |= {key: value for key, value in given.items() if value is not None}
        if "data_dir" not in settings:
            raise ConfigurationError(f"{path}: data_dir is missing; name the gateway's folder")
        return cls(**settings | {"data_dir": Path(settings["data_dir"]).resolve()})

    def __post_init__(self) -> None:
        for name, port in (
            ("coap_port", self.coap_port),
            ("metrics_port", self.metrics_port),
            ("site_port", self.site_port),
        ):
            if port is not None and not 0 <= port <= 65535:
                raise ConfigurationError(f"{name} is {port}; choose one from 0 to 65535")
        if self.reports_max < REPORTS_MAX_LEAST:
            raise ConfigurationError(
                f"reports_max is {self.reports_max}; choose {REPORTS_MAX_LEAST} or more"
            )
        if not TRIAL_S[0] <= self.trial_s <= TRIAL_S[1]:
            raise ConfigurationError(
                f"trial_s is {self.trial_s}; choose {TRIAL_S[0]} to {TRIAL_S[1]}"
            )
        if self.log_format not in LOG_FORMATS:
            raise ConfigurationError(
                f"log_format is {self.log_format!r}; choose {' or '.join(LOG_FORMATS)}"
            )
        if self.public_uri and not _COAP_URI.fullmatch(self.public_uri):
            raise ConfigurationError(
                f"public_uri is '{self.public_uri}'; give one like coap://gw-1.example:5683"
            )
        if self.site_url and not _SITE_URL.fullmatch(self.site_url):
            raise ConfigurationError(
                f"site_url is '{self.site_url}'; give one like https://gw-1.local"
            )
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
    def trust_dir(self) -> Path:
        """Folder of trust documents."""
        return self.data_dir / "trust"

    @property
    def software_dir(self) -> Path:
        """The gateway's own releases."""
        return self.data_dir / "software"

    @property
    def identity_dir(self) -> Path:
        """Private key, certificate and the fleet's CA certificate."""
        return self.data_dir / "identity"

    @property
    def local_socket(self) -> Path:
        """Where people at this machine ask a running gateway."""
        return self.data_dir / "run" / "local.sock"

    @property
    def key_file(self) -> Path:
        """Key that seals secrets, unless another source is named."""
        return self.data_dir / "secrets" / "gateway.key"

    @property
    def run_file(self) -> Path:
        """Where a running gateway says how it can be reached."""
        return self.data_dir / "run" / "gateway.json"
