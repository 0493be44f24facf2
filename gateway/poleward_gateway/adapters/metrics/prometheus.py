"""Counters and levels in memory, shown to Prometheus on demand; port Tally.

Not logging: what happened is in the log, how often is here.
"""

from collections.abc import Iterable
from typing import Any

import prometheus_client
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from poleward_gateway.domain.errors import ConfigurationError

_PREFIX = "poleward_gateway_"


class MemoryTally:
    """Implements the port Tally; a count is one addition, so the hot path can afford it."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}
        self.gauges: dict[str, float] = {}

    def count(self, name: str, amount: int = 1) -> None:
        """Add to a counter."""
        self.counts[name] = self.counts.get(name, 0) + amount

    def gauge(self, name: str, value: float) -> None:
        """Set a level."""
        self.gauges[name] = value

    def collect(self) -> Iterable[Metric]:
        """Show everything in Prometheus' terms."""
        for name, total in sorted(self.counts.items()):
            yield CounterMetricFamily(_PREFIX + name, name.replace("_", " "), value=total)
        for name, value in sorted(self.gauges.items()):
            yield GaugeMetricFamily(_PREFIX + name, name.replace("_", " "), value=value)


class MetricsServer:
    """Serves a tally on 127.0.0.1.

    Raises:
        ConfigurationError: The port is taken; choose another.
    """

    def __init__(self, tally: MemoryTally, port: int) -> None:
        registry = prometheus_client.CollectorRegistry()
        collector: Any = tally
        registry.register(collector)
        try:
            self._server, self._thread = prometheus_client.start_http_server(
                port, "127.0.0.1", registry
            )
        except OSError as error:
            raise ConfigurationError(
                f"cannot serve metrics on TCP port {port}: {error}; "
                "stop the program that uses it or choose another with --metrics-port"
            ) from error

    @property
    def port(self) -> int:
        """TCP port that is served."""
        return int(self._server.server_port)

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
