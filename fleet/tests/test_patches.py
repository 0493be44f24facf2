"""Patches are made once for each pair of releases in the field, away from the event loop."""

import asyncio
import hashlib
import os
import random
import select
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from fleet_rig import ADMIN
from poleward_fleet.adapters.artifacts.patch_worker import make_and_try
from poleward_fleet.assembly import Fleet
from poleward_fleet.domain.errors import NotFoundError, ReleaseRefusedError
from poleward_fleet.domain.releases import Patch, PatchState, Release
from poleward_manifest import patch
from poleward_manifest.bundle import deflate, pack
from poleward_manifest.envelope import Component, Manifest, sign

DEADLINE_MS = 60_000
KILLED_FLEET = """
import asyncio
from poleward_fleet.adapters.artifacts.patch_worker import PatchWorker
async def make():
    await PatchWorker().make(b"a" * 100, b"b" * 100)
    print("made", flush=True)
    await asyncio.Event().wait()
if __name__ == "__main__":
    asyncio.run(make())
"""
KEY = Ed25519PrivateKey.generate()
OLD_CODE = random.Random(1).randbytes(30_000)
NEW_CODE = OLD_CODE[:9000] + b"a line more" + OLD_CODE[9000:]


def image_of(code: bytes) -> bytes:
    image = bytes([0xE9, 1, *bytes(21), 1]) + code
    return image + hashlib.sha256(image).digest()


OLD, NEW = (pack({"node/app.mpy": code}) for code in (OLD_CODE, NEW_CODE))
OTHER = pack({"node/app.mpy": random.Random(2).randbytes(20_000)})
OLD_IMAGE, NEW_IMAGE = image_of(OLD_CODE), image_of(NEW_CODE)


async def publish(
    fleet: Fleet, sequence: int, component: bytes, image: bytes | None = None
) -> Release:
    await fleet.trust.trust_key(ADMIN, KEY.public_key().public_bytes_raw(), "test")
    await fleet.artifacts.put(component)
    if image is not None:
        await fleet.artifacts.put(image)
    manifest = Manifest(
        sequence,
        f"1.{sequence}.0",
        "pole-basic",
        Component.of_bundle(component),
        None if image is None else Component.of_image(image),
    )
    return await fleet.releases.publish(ADMIN, sign(manifest, [KEY]), "")


async def made(
    fleet: Fleet, release: Release, source_sequence: int, component: bytes | None = None
) -> Patch:
    component = component or release.bundle_digest
    async with asyncio.timeout(60):
        while True:
            answer = await fleet.patches.patch(release.digest, component, source_sequence)
            if answer.state is not PatchState.MAKING:
                return answer
            await asyncio.sleep(0.02)


@asynccontextmanager
async def making(fleet: Fleet) -> AsyncIterator[None]:
    task = asyncio.create_task(fleet.patches.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        fleet.patch_worker.close()


async def test_patch_is_made_once_and_builds_the_new_component(fleet: Fleet) -> None:
    await publish(fleet, 1, OLD)
    release = await publish(fleet, 2, NEW)
    first = await fleet.patches.patch(release.digest, release.bundle_digest, 1)
    assert first == Patch(PatchState.MAKING)
    async with making(fleet):
        answer = await made(fleet, release, 1)
    assert answer.state is PatchState.READY
    content = b"".join([piece async for piece in fleet.artifacts.read(answer.digest, 0)])
    assert (len(content), hashlib.sha256(content).digest()) == (answer.size_bytes, answer.digest)
    assert answer.size_bytes < 200
    assert patch.apply(OLD, content) == NEW
    # Nobody makes it again: no loop runs any more.
    assert await fleet.patches.patch(release.digest, release.bundle_digest, 1) == answer


async def test_there_is_no_patch_where_the_whole_is_smaller(fleet: Fleet) -> None:
    await publish(fleet, 1, OTHER)
    repeating = pack({"node/app.mpy": b"the same again and again " * 400})
    release = await publish(fleet, 2, repeating)
    async with making(fleet):
        assert await made(fleet, release, 1) == Patch(PatchState.NONE)
    assert await fleet.patches.patch(release.digest, release.bundle_digest, 1) == Patch(
        PatchState.NONE
    )


async def test_unknown_releases_have_no_patch(fleet: Fleet) -> None:
    release = await publish(fleet, 2, NEW)
    assert await fleet.patches.patch(release.digest, release.bundle_digest, 1) == Patch(
        PatchState.NONE
    )
    with pytest.raises(NotFoundError):
        await fleet.patches.patch(bytes(32), bytes(32), 1)


async def test_component_that_is_lost_ends_in_the_whole(fleet: Fleet) -> None:
    old = await publish(fleet, 1, OLD)
    release = await publish(fleet, 2, NEW)
    (fleet.artifacts._folder / old.bundle_digest.hex()).unlink()
    async with making(fleet):
        assert await made(fleet, release, 1) == Patch(PatchState.NONE)


def test_patch_is_tried_before_it_is_given_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patch, "make", lambda source, target: deflate(b"\x00\x01\x00x"))
    with pytest.raises(ValueError, match="does not build"):
        make_and_try(OLD, NEW)


def test_worker_ends_with_a_fleet_that_is_killed() -> None:
    with subprocess.Popen([sys.executable, "-c", KILLED_FLEET], stdout=subprocess.PIPE) as fleet:
        assert fleet.stdout is not None
        assert fleet.stdout.readline() == b"made\n"
        children = Path(f"/proc/{fleet.pid}/task/{fleet.pid}/children").read_text().split()
        ends = [os.pidfd_open(int(child)) for child in children]
        fleet.kill()
    assert len(ends) == 2, "the worker, and multiprocessing's tracker of resources"
    for end in ends:
        waiting = select.poll()
        waiting.register(end)
        assert waiting.poll(DEADLINE_MS), "it lives on"
        os.close(end)


async def test_image_is_patched_from_the_newest_that_a_node_can_have(fleet: Fleet) -> None:
    await publish(fleet, 1, OTHER)
    await publish(fleet, 2, OTHER, OLD_IMAGE)
    await publish(fleet, 3, OTHER)
    release = await publish(fleet, 4, OTHER, NEW_IMAGE)
    assert release.image_bytes == len(NEW_IMAGE)
    assert release.size_bytes == len(OTHER) + len(NEW_IMAGE)
    assert release.image_digest
    ask = partial(fleet.patches.patch, release.digest, release.image_digest)
    assert await ask(1) == Patch(PatchState.NONE)
    async with making(fleet):
        answer = await made(fleet, release, 3, release.image_digest)
    content = b"".join([piece async for piece in fleet.artifacts.read(answer.digest, 0)])
    assert patch.apply(OLD_IMAGE, content) == NEW_IMAGE
    assert await ask(2) == answer
    with pytest.raises(NotFoundError, match="has no component"):
        await fleet.patches.patch(release.digest, bytes(32), 1)


async def test_release_whose_image_is_missing_is_refused(fleet: Fleet) -> None:
    await publish(fleet, 1, OTHER)
    manifest = Manifest(
        2, "1.2.0", "pole-basic", Component.of_bundle(OTHER), Component.of_image(NEW_IMAGE)
    )
    with pytest.raises(ReleaseRefusedError, match=r"image .* is not uploaded"):
        await fleet.releases.publish(ADMIN, sign(manifest, [KEY]), "")
