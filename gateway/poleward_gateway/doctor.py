"""Examines a gateway's folder and machine, running or not, and says what to do about what it finds.

Changes nothing. What a running gateway knows it tells on its metrics port; a stopped one's spool is
read from disk.
"""

import datetime
import http.client
import json
import os
import socket
import sqlite3
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from poleward_gateway.adapters.fleet_link import identity
from poleward_gateway.adapters.node_link.lanes import RECEIVE_BUFFER_BYTES
from poleward_gateway.adapters.secrets.sealed_box import open_box
from poleward_gateway.adapters.storage.ballast import BALLAST_BYTES, free_bytes
from poleward_gateway.config import GatewayConfig
from poleward_gateway.domain.errors import ConfigurationError

FREE_BYTES_LEAST = 1 << 30
_CONNECT_S = 3.0
_RECEIVE_BUFFER_LIMIT = Path("/proc/sys/net/core/rmem_max")
_CLOCK_IS_SYNCHRONIZED = Path("/run/systemd/timesync/synchronized")


class Verdict(Enum):
    """How much a finding matters."""

    OK = "ok"
    LOOK = "look"
    """It works; somebody should look at it."""
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found.

    Args:
        check: Its name.
        words: What is so and, where it is not ok, what to do.
    """

    check: str
    verdict: Verdict
    words: str


def examine(config: GatewayConfig) -> list[Finding]:
    """Make every check; none stops the others."""
    running = _running(config)
    checks: list[tuple[str, Callable[[], tuple[Verdict, str]]]] = [
        ("process", lambda: _process(config, running)),
        ("disk", lambda: _disk(config.data_dir)),
        ("clock", lambda: _clock(config)),
        ("certificate", lambda: _certificate(config)),
        ("fleet", lambda: _fleet(config)),
        ("socket buffer", _socket_buffer),
        ("spool", lambda: _spool(config, running)),
        ("nodes", lambda: _nodes(config, running)),
    ]
    findings = []
    for name, check in checks:
        try:
            verdict, words = check()
        except (OSError, ValueError, ConfigurationError, sqlite3.Error) as error:
            verdict, words = Verdict.FAILED, str(error)
        findings.append(Finding(name, verdict, words))
    return findings


def _running(config: GatewayConfig) -> dict[str, Any] | None:
    """Return what a running gateway says of itself; None when none runs."""
    try:
        said: dict[str, Any] = json.loads(config.run_file.read_text(encoding="utf-8"))
        os.kill(said["pid"], 0)
    except (OSError, ValueError, KeyError):
        return None
    if said.get("metrics_port"):
        connection = http.client.HTTPConnection(
            "127.0.0.1", said["metrics_port"], timeout=_CONNECT_S
        )
        try:
            connection.request("GET", "/status")
            said |= json.loads(connection.getresponse().read())
        except (OSError, ValueError, http.client.HTTPException):
            said["live"] = False
        finally:
            connection.close()
    return said


def _process(config: GatewayConfig, running: dict[str, Any] | None) -> tuple[Verdict, str]:
    """Is it running, and does it live?"""
    if running is None:
        return (
            Verdict.LOOK,
            f"not running; start it with: poleward gateway serve --data {config.data_dir}",
        )
    where = f"pid {running['pid']}, {running['coap']}"
    if "live" not in running:
        return Verdict.OK, f"{where}; start it with --metrics-port to see more"
    if not running["live"]:
        return Verdict.FAILED, f"{where} does not answer; restart it and keep its log"
    if not running["ready"]:
        return Verdict.FAILED, f"{where} takes no reports: the disk does not take them"
    return Verdict.OK, where


def _disk(folder: Path) -> tuple[Verdict, str]:
    """Is there room, and is the folder ours?"""
    if not os.access(folder, os.W_OK):
        return Verdict.FAILED, f"{folder} cannot be written by this account"
    free = free_bytes(folder)
    words = f"{free / 1e9:.1f} GB free at {folder}"
    if free < 2 * BALLAST_BYTES:
        return Verdict.FAILED, f"{words}; old reports are being dropped: make room"
    if free < FREE_BYTES_LEAST:
        return Verdict.LOOK, f"{words}; a week of 1,000 nodes without the fleet takes 1.2 GB"
    return Verdict.OK, words


def _clock(config: GatewayConfig) -> tuple[Verdict, str]:
    """Can the clock be right? Nodes get their time from it."""
    now = datetime.datetime.now(datetime.UTC)
    words = now.isoformat(timespec="seconds")
    known = identity.load(config.identity_dir, open_box(config.key_source, config.key_file))
    if now < known.begins_at():
        return Verdict.FAILED, f"{words} is before this gateway was enrolled; set the clock"
    if not _CLOCK_IS_SYNCHRONIZED.exists():
        return Verdict.LOOK, f"{words}; systemd-timesyncd has not synchronized it, check NTP"
    return Verdict.OK, words


def _certificate(config: GatewayConfig) -> tuple[Verdict, str]:
    """Does the certificate live, and is it being renewed?"""
    known = identity.load(config.identity_dir, open_box(config.key_source, config.key_file))
    now = datetime.datetime.now(datetime.UTC)
    words = f"{known.name}, until {known.expires_at():%Y-%m-%d %H:%M} UTC"
    if now > known.expires_at():
        return Verdict.FAILED, f"{words}: expired; enrol the gateway again"
    if now > known.renew_after() + datetime.timedelta(days=1):
        return Verdict.LOOK, f"{words}: not renewed in time; is the fleet reachable?"
    return Verdict.OK, words


def _fleet(config: GatewayConfig) -> tuple[Verdict, str]:
    """Does the fleet's link port answer?"""
    address = identity.load(
        config.identity_dir, open_box(config.key_source, config.key_file)
    ).link_address
    host, _, port = address.rpartition(":")
    began_s = time.monotonic()
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_CONNECT_S).close()
    except OSError as error:
        return Verdict.LOOK, f"{address} does not answer ({error}); reports wait in the spool"
    return Verdict.OK, f"{address} answers in {(time.monotonic() - began_s) * 1000:.0f} ms"


def _socket_buffer() -> tuple[Verdict, str]:
    """Does the kernel allow the receive buffer that the gateway asks for?"""
    limit = int(_RECEIVE_BUFFER_LIMIT.read_text(encoding="ascii"))
    if limit < RECEIVE_BUFFER_BYTES:
        return Verdict.LOOK, (
            f"{limit} bytes; bursts of reports will be lost and sent again: "
            f"sysctl -w net.core.rmem_max={RECEIVE_BUFFER_BYTES}"
        )
    return Verdict.OK, f"{limit} bytes"


def _spool(config: GatewayConfig, running: dict[str, Any] | None) -> tuple[Verdict, str]:
    """How much waits for the fleet?"""
    if running is not None:
        if "reports_waiting" not in running:
            return Verdict.OK, "not known; start the gateway with --metrics-port"
        waiting, dropped = running["reports_waiting"], running["reports_dropped"]
    else:
        waiting, dropped = _read_spool(config.database_path)
    words = f"{waiting} reports wait, {dropped} were ever dropped"
    if waiting > config.reports_max // 2:
        return Verdict.LOOK, f"{words}; more than half of the quota: connect the fleet"
    return Verdict.OK, words


def _nodes(config: GatewayConfig, running: dict[str, Any] | None) -> tuple[Verdict, str]:
    """How many nodes are there, and are they heard?"""
    if running is None:
        (nodes,) = _query(config.database_path, "SELECT count(*) FROM desired_node")
        return Verdict.OK, f"{nodes} nodes"
    if "nodes" not in running:
        return Verdict.OK, "not known; start the gateway with --metrics-port"
    words = f"{running['nodes_online']} of {running['nodes']} nodes online"
    return (Verdict.OK if running["nodes_online"] == running["nodes"] else Verdict.LOOK), words


def _read_spool(path: Path) -> tuple[int, int]:
    """Count what waits in a stopped gateway's spool, and what it ever dropped."""
    (waiting,) = _query(path, "SELECT count(*) FROM report")
    (dropped,) = _query(
        path, "SELECT ifnull(max(value), 0) FROM meta WHERE name = 'reports_dropped'"
    )
    return int(waiting), int(dropped)


def _query(path: Path, query: str) -> Any:
    """Read one row."""
    if not path.exists():
        raise ConfigurationError(f"{path} does not exist; the gateway has not been started yet")
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=1.0)
    try:
        return connection.execute(query).fetchone()
    finally:
        connection.close()
