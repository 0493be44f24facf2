"""What releases are made of, and which nodes run what turns out to be bad."""

import hashlib
import json
from typing import Any

import pytest
from release_builders import BUNDLE, KEY, envelope, upload
from rollout_rig import report
from sqlalchemy import text

from fleet_rig import ADMIN, OTHER_DISTRICT, make_poles
from poleward_fleet.adapters.sql import component_store
from poleward_fleet.assembly import Fleet
from poleward_fleet.domain.accounts import Principal, Role
from poleward_fleet.domain.errors import InvalidError
from poleward_fleet.domain.sbom import SoftwareComponent, read_sbom, version_order
from poleward_fleet.services.gateways import GatewayLink

DIGEST = hashlib.sha256(BUNDLE).digest()


def sbom(compiler: str, digest: bytes = DIGEST) -> bytes:
    document: dict[str, Any] = {
        "bomFormat": "CycloneDX",
        "metadata": {
            "component": {
                "name": "poleward-node",
                "version": "1.2.0",
                "hashes": [{"alg": "SHA-256", "content": digest.hex()}],
            },
            "tools": {"components": [{"name": "mpy-cross", "version": compiler}]},
        },
        "components": [{"name": "node/app.mpy"}, {"name": "odd", "version": "unknown"}],
    }
    return json.dumps(document).encode()


@pytest.mark.parametrize(
    ("lower", "higher"),
    [("1.2.3", "1.10.0"), ("1.2", "1.2.1"), ("0.9", "v1.0.0-rc1"), ("1.26.0", "2")],
)
def test_versions_are_compared_by_their_numbers(lower: str, higher: str) -> None:
    assert version_order(lower) < version_order(higher)


def test_trailing_zeros_make_no_difference() -> None:
    assert version_order("1.2") == version_order("1.2.0.0")


@pytest.mark.parametrize("bad", ["", "x", "latest", "-1"])
def test_what_is_no_version_is_refused(bad: str) -> None:
    with pytest.raises(InvalidError):
        version_order(bad)


def test_components_with_a_version_are_read() -> None:
    assert read_sbom(sbom("1.26.0"), DIGEST) == (
        SoftwareComponent("mpy-cross", "1.26.0"),
        SoftwareComponent("poleward-node", "1.2.0"),
    )


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (b"{}", "CycloneDX"),
        (b"[]", "CycloneDX"),
        (b"\xff", "CycloneDX"),
        (b"[" * 100_000, "CycloneDX"),
        (sbom("1.0")[:-9], "CycloneDX"),
        (sbom("1.0", bytes(32)), "another bundle"),
        (b" " * (1024 * 1024 + 1), "at most"),
    ],
)
def test_bad_bills_are_refused(bad: bytes, reason: str) -> None:
    with pytest.raises(InvalidError, match=reason):
        read_sbom(bad, DIGEST)


async def test_a_bill_of_another_bundle_publishes_nothing(fleet: Fleet) -> None:
    await fleet.trust.trust_key(ADMIN, KEY.public_key().public_bytes_raw(), "test")
    await upload(fleet)
    with pytest.raises(InvalidError):
        await fleet.releases.publish(ADMIN, envelope(), "", sbom("1.26.0", bytes(32)))
    assert await fleet.releases.releases(ADMIN) == []


async def test_the_nodes_that_run_a_component_below_a_version_are_found(
    fleet: Fleet, link: GatewayLink
) -> None:
    here = await make_poles(fleet, 3)
    there = await make_poles(fleet, 2, first=11, area=OTHER_DISTRICT)
    await fleet.trust.trust_key(ADMIN, KEY.public_key().public_bytes_raw(), "test")
    await upload(fleet)
    for sequence, compiler in ((2, "1.9.0"), (3, "1.26.0")):
        release = await fleet.releases.publish(ADMIN, envelope(sequence), "", sbom(compiler))
        for node in here[:2] if sequence == 2 else [here[2], *there]:
            await report(fleet, link, release, node, None, runs=sequence)
    # The same release again, with its bill, is harmless.
    await fleet.releases.publish(ADMIN, envelope(3), "", sbom("1.26.0"))

    async def found(component: str, below: str, who: Principal = ADMIN) -> set[int]:
        affected = await fleet.releases.affected(who, component, below)
        assert affected.total == len(affected.nodes)
        return {node.number for node in affected.nodes}

    assert await found("mpy-cross", "1.10") == set(here[:2])
    assert await found("mpy-cross", "1.26") == set(here[:2])
    assert await found("mpy-cross", "1.26.1") == {*here, *there}
    assert await found("mpy-cross", "1.9") == set()
    assert await found("zlib", "99") == set()
    elsewhere = Principal("ivan", frozenset({Role.OPERATOR}), OTHER_DISTRICT)
    assert await found("mpy-cross", "2", elsewhere) == set(there)
    (first, *_) = (await fleet.releases.affected(ADMIN, "mpy-cross", "2")).nodes
    assert (first.release_version, first.component_version) == ("1.2.0", "1.9.0")
    assert first.pole_code


async def test_nodes_are_found_by_an_index(fleet: Fleet) -> None:
    store = fleet.releases._components
    assert isinstance(store, component_store.SqlComponentStore)
    async with store._database.begin() as connection:
        await connection.execute(text("SET LOCAL enable_seqscan = off"))
        rows = await connection.execute(
            text(f"EXPLAIN {component_store._AFFECTED.text}"),
            {"component": "x", "below": [1], "everywhere": True, "areas": [], "limit": 1},
        )
        plan = "\n".join(row[0] for row in rows)
    assert "node_release_idx" in plan
