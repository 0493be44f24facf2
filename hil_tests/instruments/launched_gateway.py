"""A further gateway of a city under its launcher, as the service starts it.

Not the city's first gateway, which runs without a launcher.
"""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from hil_tests.instruments.second_gateway import enroll
from poleward_manifest import envelope as envelopes
from poleward_tools.client.rollout_views import Rollout, RolloutPolicy, RolloutTarget, RolloutWave
from poleward_tools.demo.city import City
from poleward_tools.releases.gateway_build import build_gateway_release

DEADLINE_S = 120.0
_sequences = iter(range(1, 1000))


@dataclass(slots=True)
class LaunchedGateway:
    """A gateway and its launcher.

    Args:
        folder: Of the gateway.
        coap: Where nodes find it, whatever release runs.
    """

    city: City
    name: str
    folder: Path
    coap: str
    launcher: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the launcher."""
        with (self.city.plan.data / "logs" / f"{self.name}.log").open("ab") as log:
            self.launcher = subprocess.Popen(
                [
                    sys.executable, "-m", "poleward_gateway.launcher",
                    "--config", str(self.folder / "gateway.toml"), "serve",
                ],
                stdout=log, stderr=log,
            )  # fmt: skip

    def kill(self) -> None:
        """End launcher and gateway at once, as a power cut does."""
        assert self.launcher is not None
        with suppress(OSError, ValueError):
            running = json.loads((self.folder / "run" / "gateway.json").read_text())["pid"]
            os.kill(running, signal.SIGKILL)
        self.launcher.kill()
        self.launcher.wait()

    def stop(self) -> None:
        """End both in order."""
        assert self.launcher is not None
        self.launcher.terminate()
        self.launcher.wait(DEADLINE_S)

    def version(self) -> str:
        """Return what the fleet says that it runs."""
        gateways = self.city.client.list_gateways()
        return next(found.software_version for found in gateways if found.name == self.name)

    def is_connected(self) -> bool:
        """Whether the fleet has its stream."""
        gateways = self.city.client.list_gateways()
        return any(found.connected for found in gateways if found.name == self.name)


def publish(
    city: City,
    sources: Mapping[str, bytes],
    *,
    signers: Sequence[Ed25519PrivateKey] = (),
    downgrade: str = "",
) -> tuple[str, bytes]:
    """Publish a release of these sources for gateways; return its version and digest.

    Args:
        signers: Who sign it; the city's key without any.
        downgrade: Who may go back to it.
    """
    sequence = next(_sequences)
    built = build_gateway_release(f"7.0.{sequence}", sequence, sources=sources)
    city.client.upload_artifact(built.bundle)
    manifest = replace(built.manifest, downgrade=downgrade)
    signed = envelopes.sign(manifest, signers or [city.signing_key])
    return f"7.0.{sequence}", city.client.publish_release(signed, "")


def roll_out(
    gateways: Sequence[LaunchedGateway],
    digest: bytes,
    *,
    waves: tuple[RolloutWave, ...] = (RolloutWave(),),
    name: str = "",
    **policy: Any,
) -> int:
    """Bring a release to gateways; the first one that fails stops it. Return the rollout."""
    stages: dict[str, Any] = dict.fromkeys(
        ("offered_s", "downloading_s", "downloaded_s", "trial_s"), 600
    )
    target = RolloutTarget(pole_codes=tuple(gateway.name for gateway in gateways))
    made = gateways[0].city.client.rollouts.create(
        digest, target, RolloutPolicy(waves=waves, max_failures=1, **stages, **policy), name=name
    )
    return made.number


def wait_rollout(city: City, number: int, reached: Callable[[Rollout], bool]) -> Rollout:
    """Wait until a rollout is as wanted, and show it."""
    rollouts = city.client.rollouts
    city.wait_until(
        lambda: reached(rollouts.get(number)),
        what=f"rollout {number}",
        timeout_s=DEADLINE_S,
    )
    return rollouts.get(number)


def wait_over(city: City, number: int) -> Rollout:
    """Wait until a rollout has ended."""
    return wait_rollout(city, number, lambda rollout: rollout.is_over)


@contextmanager
def launched_gateway(city: City, name: str, *, trial_s: int) -> Iterator[LaunchedGateway]:
    """Enrol a gateway and run it under its launcher inside the block."""
    folder = enroll(city, name)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (folder / "gateway.toml").write_text(
        f'data_dir = "{folder}"\ncoap_port = {port}\ntrial_s = {trial_s}\n', encoding="utf-8"
    )
    gateway = LaunchedGateway(city, name, folder, f"coap://127.0.0.1:{port}")
    gateway.start()
    try:
        city.wait_until(gateway.is_connected, what=f"{name} connected", timeout_s=DEADLINE_S)
        yield gateway
    finally:
        gateway.stop()
