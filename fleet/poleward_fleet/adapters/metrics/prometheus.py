"""Counts what the fleet manager does and shows it to Prometheus on a port of its own.

Not health (adapters/web/health_pages.py) and not the log.
"""

from collections.abc import Callable, Iterable

import prometheus_client
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from poleward_fleet.domain.alarms import AlarmChange
from poleward_fleet.domain.errors import ConfigurationError

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)


class PrometheusMeter:
    """IngestMeter whose numbers Prometheus can read; each fleet manager has its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._reports = self._counter("reports_stored", "Reports committed, repetitions included")
        self._readings = self._counter("readings_stored", "Readings of these reports")
        self._events = self._counter("events_stored", "Events committed")
        self._raised = Counter(
            "poleward_fleet_alarms_raised", "Alarms that began", ["kind"], registry=self.registry
        )
        self._seconds = Histogram(
            "poleward_fleet_store_seconds",
            "From taking a group of report batches to its commit",
            buckets=_SECONDS,
            registry=self.registry,
        )

    def _counter(self, name: str, words: str) -> Counter:
        return Counter(f"poleward_fleet_{name}", words, registry=self.registry)

    def reports_stored(self, *, reports: int, readings: int, seconds: float) -> None:
        """Count a group of report batches."""
        self._reports.inc(reports)
        self._readings.inc(readings)
        self._seconds.observe(seconds)

    def events_stored(self, count: int) -> None:
        """Count events."""
        self._events.inc(count)

    def alarms_changed(self, changes: Iterable[AlarmChange]) -> None:
        """Count alarms that began."""
        for change in changes:
            if change.is_raised:
                self._raised.labels(change.kind.value).inc()

    def watch_gateways(self, connected: Callable[[], int]) -> None:
        """Show how many gateways are connected whenever somebody looks."""
        gauge = Gauge("poleward_fleet_gateways_connected", "Open streams", registry=self.registry)
        gauge.set_function(connected)


class MetricsServer:
    """Serves a meter on 127.0.0.1.

    Raises:
        ConfigurationError: The port is taken; choose another.
    """

    def __init__(self, meter: PrometheusMeter, port: int) -> None:
        try:
            self._server, self._thread = prometheus_client.start_http_server(
                port, "127.0.0.1", meter.registry
            )
        except OSError as error:
            raise ConfigurationError(
                f"port {port} for the metrics cannot be opened ({error.strerror}); "
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
