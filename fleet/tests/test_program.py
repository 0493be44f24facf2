"""The program as a whole: it starts, says where it listens, stops cleanly, says what is wrong."""

import asyncio
import json
import os
import signal
import socket
import stat
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

pytestmark = pytest.mark.system
DEADLINE_S = 60.0


@asynccontextmanager
async def program(
    data: Path, *arguments: str, ports: tuple[int, int, int] = (0, 0, 0)
) -> AsyncIterator[asyncio.subprocess.Process]:
    names = ("--web-port", "--api-port", "--link-port")
    numbers = [text for pair in zip(names, map(str, ports), strict=True) for text in pair]
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "poleward_fleet",
        "--data",
        data,
        *numbers,
        *arguments,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not condition():  # noqa: ASYNC110 — another process, nothing to await
            await asyncio.sleep(0.02)


async def ready(data: Path, process: asyncio.subprocess.Process) -> dict[str, str]:
    file = data / "run" / "fleet.json"
    await until(lambda: file.exists() or process.returncode is not None)
    return dict(json.loads(file.read_text()))


def postgres_pid(data: Path) -> int:
    return int((data / "postgres" / "postmaster.pid").read_text().splitlines()[0])


def runs(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


async def test_fleet_starts_serves_stops_and_starts_again(data: Path) -> None:
    fingerprints = set()
    for _ in range(2):
        async with program(data) as process:
            where = await ready(data, process)
            fingerprints.add(where["ca_fingerprint"])
            async with httpx.AsyncClient() as client:
                found = (await client.get(where["web"] + "/.well-known/poleward.json")).json()
            assert (found["api"], found["link"]) == (where["api"], where["link"])
            postgres = postgres_pid(data)
            process.send_signal(signal.SIGTERM)
            async with asyncio.timeout(DEADLINE_S):
                assert await process.wait() == 0
        assert not runs(postgres)
        assert not (data / "run" / "fleet.json").exists()
    assert len(fingerprints) == 1
    for name in ("admin.json", "ca/ca.key", "secrets/database.key"):
        assert stat.S_IMODE((data / name).stat().st_mode) == 0o600


async def test_killed_fleet_leaves_no_postgres_and_starts_again(data: Path) -> None:
    async with program(data) as process:
        await ready(data, process)
        postgres = postgres_pid(data)
        process.kill()
        await process.wait()
    await until(lambda: not runs(postgres))
    (data / "run" / "fleet.json").unlink()
    async with program(data) as process:
        await ready(data, process)
        assert process.returncode is None


async def test_port_in_use_is_named_and_exits_with_2(data: Path) -> None:
    for position, purpose in enumerate(("web pages", "API", "gateways")):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            ports = [0, 0, 0]
            ports[position] = port
            async with program(data, ports=(ports[0], ports[1], ports[2])) as process:
                _, words = await process.communicate()
        assert process.returncode == 2
        assert f"port {port}" in words.decode()
        assert purpose in words.decode()
        assert not (data / "postgres" / "postmaster.pid").exists()


async def test_data_folder_that_cannot_be_made_is_named_and_exits_with_2() -> None:
    async with program(Path("/dev/null/below")) as process:
        _, err = await process.communicate()
    assert process.returncode == 2
    assert "cannot use the data folder /dev/null/below" in err.decode()


async def test_unreachable_database_exits_with_3_and_hides_the_password(data: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        url = f"postgresql://me:geheim@127.0.0.1:{port}/poleward"
        async with program(data, "--database-url", url) as process:
            _, words = await process.communicate()
    assert process.returncode == 3
    assert "cannot be reached" in words.decode()
    assert "geheim" not in words.decode()


async def test_second_fleet_on_one_folder_is_refused(data: Path) -> None:
    async with program(data) as first:
        await ready(data, first)
        async with program(data) as second:
            _, words = await second.communicate()
        assert second.returncode == 2
        assert "in use by another fleet manager" in words.decode()
        assert first.returncode is None


async def test_fleet_ends_with_1_when_its_database_dies(data: Path) -> None:
    async with program(data) as process:
        await ready(data, process)
        os.kill(postgres_pid(data), signal.SIGQUIT)
        async with asyncio.timeout(DEADLINE_S):
            assert await process.wait() == 1
