"""Counters and levels in memory, shown to Prometheus on demand; port Tally.

Not logging: what happened is in the log, how often is here.
"""

import json
import threading
from collections.abc import Callable, Iterable
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

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
    """Serves a tally and the gateway's health on 127.0.0.1.

    - `/metrics`: for Prometheus.
    - `/healthz`: 200 while the gateway lives, 503 when it hangs.
    - `/readyz`: 200 while it takes reports, 503 when it does not.
    - `/status`: everything `health` says, as JSON.

    Args:
        health: Called on the server's thread; has the keys "live" and "ready" at least.

    Raises:
        ConfigurationError: The port is taken; choose another.
    """

    def __init__(
        self, tally: MemoryTally, port: int, health: Callable[[], dict[str, object]]
    ) -> None:
        registry = prometheus_client.CollectorRegistry()
        collector: Any = tally
        registry.register(collector)
        metrics = prometheus_client.make_wsgi_app(registry)

        def answer(environ: Any, start_response: Any) -> Iterable[bytes]:
            path = environ["PATH_INFO"]
            if path == "/metrics":
                found: Iterable[bytes] = metrics(environ, start_response)
                return found
            status = health()
            is_fine = {
                "/healthz": bool(status["live"]),
                "/readyz": bool(status["ready"]),
                "/status": True,
            }.get(path)
            code = "404 Not Found" if is_fine is None else "200 OK"
            if is_fine is False:
                code = "503 Service Unavailable"
            start_response(code, [("Content-Type", "application/json")])
            return [json.dumps(status).encode() + b"\n" if is_fine is not None else b""]

        try:
            self._server = make_server("127.0.0.1", port, answer, handler_class=_Silent)
        except OSError as error:
            raise ConfigurationError(
                f"cannot serve metrics on TCP port {port}: {error}; "
                "stop the program that uses it or choose another with --metrics-port"
            ) from error
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        """TCP port that is served."""
        return int(self._server.server_port)

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Silent(WSGIRequestHandler):
    """Does not log each request, and waits for none for ever."""

    timeout = 5

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        """Log nothing."""
