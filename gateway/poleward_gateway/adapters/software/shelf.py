"""The gateway's own releases on disk: each an environment of its own, DATA/software/<digest>.

Not which of them runs: domain/software.py.

Order of an installation: remains away, wheels, environment, and last the envelope, which is the
mark that all of it is there.
"""

import errno
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Collection, Mapping
from pathlib import Path

from poleward_gateway.adapters.software import record_file
from poleward_gateway.domain.errors import ArtifactRejectedError, InstallationError
from poleward_gateway.domain.software import INSTALLED, Schema, SoftwareRecord
from poleward_gateway.ports.software import ReleaseNames
from poleward_manifest import envelope as envelopes
from poleward_manifest import wheel_set
from poleward_manifest.errors import EnvelopeError

INSTALLATION_VARIABLE = "POLEWARD_INSTALLATION"
"""Set by the launcher: where the packages of its own installation are."""

_MARK = "release.cbor"
_ENVIRONMENT = "environment"
_WHEELS = "wheels"
_COMMAND_S = 300
# What pip says of a wheel that is there and whose tags or Requires-Python do not fit.
_UNFIT = re.compile(r"No matching distribution found for (\S+)")


class SoftwareShelf:
    """Implements the port SoftwareShelf.

    Args:
        folder: DATA/software.
        environment: Of this process.
        prefix: Of the Python that runs this process.
    """

    def __init__(
        self,
        folder: Path,
        environment: Mapping[str, str] = os.environ,
        prefix: Path = Path(sys.prefix),
    ) -> None:
        self._folder = folder
        self._installation = environment.get(INSTALLATION_VARIABLE, "")
        self._prefix = prefix

    @property
    def has_launcher(self) -> bool:
        """Whether a launcher started this gateway, so that it can start another release."""
        return bool(self._installation)

    @property
    def running(self) -> bytes:
        """The release whose code this process runs, whatever the record says."""
        folder = self._prefix.parent
        if self._prefix.name == _ENVIRONMENT and folder.parent.resolve() == self._folder.resolve():
            return bytes.fromhex(folder.name)
        return INSTALLED

    def record(self) -> SoftwareRecord:
        """Return what is written down."""
        return record_file.load(self._folder)

    def write(self, record: SoftwareRecord) -> None:
        """Replace what is written down."""
        record_file.save(self._folder, record)

    def free_bytes(self) -> int:
        """Return how much room there is."""
        return shutil.disk_usage(self._folder.parent).free

    def is_whole(self, release: bytes) -> bool:
        """Say whether a release is installed to its end."""
        return (self._of(release) / _MARK).is_file() and self.python(release).exists()

    def python(self, release: bytes) -> Path:
        """Return the interpreter of a release's environment."""
        return self._of(release) / _ENVIRONMENT / "bin" / "python"

    def names(self, release: bytes) -> ReleaseNames | None:
        """Return how an installed release is called; None for anything else."""
        try:
            manifest = envelopes.read((self._of(release) / _MARK).read_bytes())
        except (OSError, EnvelopeError):
            return None
        return ReleaseNames(manifest.version, manifest.sequence)

    def install(self, release: bytes, envelope: bytes, component: bytes) -> None:
        """Make the environment of a release; what a crash left of it is made anew.

        Raises:
            ArtifactRejectedError: The component is no set of wheels, or pip refuses them.
            InstallationError: The environment cannot be made; says why.
        """
        folder = self._of(release)
        try:
            wheels = wheel_set.unpack(component)
            requirements = wheel_set.requirements(wheels)
        except EnvelopeError as error:
            raise ArtifactRejectedError(str(error)) from error
        try:
            shutil.rmtree(folder, ignore_errors=True)
            (folder / _WHEELS).mkdir(parents=True, mode=0o700)
            for name, content in wheels.items():
                (folder / _WHEELS / name).write_bytes(content)
            (folder / _WHEELS / "requirements.txt").write_text(requirements, encoding="utf-8")
            self._make_environment(folder)
            _refuse_unmet(self.python(release), requirements)
            shutil.rmtree(folder / _WHEELS)
            os.sync()
            record_file.write_durably(folder / _MARK, envelope)
        except OSError as error:
            raise InstallationError(f"{folder} cannot be written: {error}") from error
        finally:
            if not (folder / _MARK).is_file():
                shutil.rmtree(folder, ignore_errors=True)  # the disk may be full

    def schema(self, release: bytes) -> Schema:
        """Have an installed release say which database it writes.

        Raises:
            ArtifactRejectedError: It does not start, or cannot say it.
        """
        said = _output([str(self.python(release)), "-m", "poleward_gateway", "about"])
        try:
            found = json.loads(said)
            return Schema(int(found["schema"]), int(found["schema_readable_from"]))
        except (ValueError, KeyError, TypeError) as error:
            raise ArtifactRejectedError("it does not say which database it writes") from error

    def remove_others(self, kept: Collection[bytes]) -> None:
        """Remove every environment that is not kept."""
        names = {release.hex() for release in kept}
        for folder in self._folder.iterdir() if self._folder.is_dir() else ():
            if folder.is_dir() and folder.name not in names:
                (folder / _MARK).unlink(missing_ok=True)
                shutil.rmtree(folder, ignore_errors=True)

    def _of(self, release: bytes) -> Path:
        return self._folder / release.hex()

    def _make_environment(self, folder: Path) -> None:
        environment = folder / _ENVIRONMENT
        venv.create(environment, symlinks=True)
        _output(
            [
                *_pip(environment / "bin" / "python"), "install", "--quiet", "--no-index",
                "--no-deps", "--require-hashes", "--find-links", str(folder / _WHEELS),
                "--requirement", str(folder / _WHEELS / "requirements.txt"),
            ]
        )  # fmt: skip
        # What is not in the set comes from the launcher's installation (ADR 52); written last, so
        # that pip does not take its packages for those of this environment.
        (packages,) = environment.glob("lib/python*/site-packages")
        (packages / "installation.pth").write_text(f"{self._installation}\n", encoding="utf-8")


def _pip(python: Path) -> list[str]:
    return [sys.executable, "-m", "pip", "--python", str(python), "--disable-pip-version-check"]


def _refuse_unmet(python: Path, requirements: str) -> None:
    """Refuse wheels whose own needs are met neither by the set nor by the installation.

    Raises:
        ArtifactRejectedError: Names what is missing.
    """
    names = {_canonical(line.partition("==")[0]) for line in requirements.splitlines()}
    # What else does not fit in the installation is not the release's fault.
    for line in _run([*_pip(python), "check"]).stdout.splitlines():
        if _canonical(line.partition(" ")[0]) in names:
            raise ArtifactRejectedError(f"{line.rstrip('.')}; build it with --wheels")


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _output(command: list[str]) -> str:
    """Run a command and return what it says.

    Raises:
        ArtifactRejectedError: It fails; says why, as far as we know it in ours, else in its words.
        InstallationError: It fails for want of room, or does not run.
    """
    done = _run(command)
    if not done.returncode:
        return done.stdout
    if os.strerror(errno.ENOSPC) in done.stderr:
        raise InstallationError("the disk is full; make room")
    if unfit := _UNFIT.search(done.stderr):
        raise ArtifactRejectedError(
            f"its wheel {unfit[1]} is for another Python or processor than Python "
            f"{sysconfig.get_python_version()} on {sysconfig.get_platform()}"
        )
    words = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
    raise ArtifactRejectedError(f"{command[2]} of the release fails: {words[:300]}")


def _run(command: list[str]) -> subprocess.CompletedProcess[str]:
    # No settings of the machine: they could name an index, or wheels that nobody signed.
    settings = {k: v for k, v in os.environ.items() if not k.startswith(("PIP_", "PYTHON"))}
    try:
        return subprocess.run(
            command, env={**settings, "PIP_CONFIG_FILE": os.devnull}, capture_output=True,
            text=True, timeout=_COMMAND_S, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        raise InstallationError(f"{command[0]} {command[2]} does not run: {error}") from error
