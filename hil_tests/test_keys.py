"""Keys get lost and stolen: `poleward keys drill`, and what a thief of one side can do after it."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import asyncpg
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from hil_tests.instruments.launched_gateway import launched_gateway, publish, roll_out, wait_over
from poleward_manifest.signatures import public_bytes
from poleward_tools.client import ClientError
from poleward_tools.client.rollout_views import RolloutPolicy
from poleward_tools.demo.city import City
from poleward_tools.demo.key_drill import Rehearsal, rehearsal
from poleward_tools.demo.narration import Silence
from poleward_tools.releases.gateway_build import gateway_sources

pytestmark = [pytest.mark.system]

NODES = 2
FROZEN = "update.frozen"
OLD_DIRECTIVES = (
    "CREATE OR REPLACE FUNCTION hold_back() RETURNS trigger LANGUAGE plpgsql AS "
    "$$ BEGIN NEW.directed_at_ms = 1; RETURN NEW; END $$"
)


@pytest.fixture(scope="module")
def after_drill() -> Iterator[Rehearsal]:
    """A city in which every step of the drill held: two nodes, two of three keys, directives."""
    with rehearsal(Silence()) as begun:
        steps = begun.run()
        assert len(steps) == 10
        assert [step for step in steps if not step.held] == []
        yield begun


def change_database(city: City, *statements: str) -> None:
    """Do as the fleet what its programs would not: somebody has stolen it."""
    socket = (city.fleet_dir / "postgres" / "postmaster.pid").read_text().splitlines()[4]

    async def change() -> None:
        connection = await asyncpg.connect(host=socket, user="postgres", database="postgres")
        for statement in statements:
            await connection.execute(statement)
        await connection.close()

    asyncio.run(change())


@contextmanager
def holding_back(city: City, table: str) -> Iterator[None]:
    """Have the fleet give directives that are over to what a table is about, inside the block."""
    held = f"CREATE TRIGGER hold_back BEFORE UPDATE ON {table} FOR EACH ROW"
    change_database(city, OLD_DIRECTIVES, f"{held} EXECUTE FUNCTION hold_back()")
    yield
    change_database(city, f"DROP TRIGGER hold_back ON {table}")


def versions(city: City) -> set[str]:
    return {node.bundle_version for node in city.client.list_nodes()}


def frozen(city: City) -> int:
    return [alarm.kind for alarm in city.client.alarms.list_alarms()].count(FROZEN)


def test_a_stolen_fleet_alone_installs_nothing(after_drill: Rehearsal) -> None:
    city = after_drill.city
    thief = Ed25519PrivateKey.generate()
    before = versions(city)
    change_database(
        city,
        "INSERT INTO release_key (public_key, name, trusted_at_ms) "
        f"VALUES (decode('{public_bytes(thief).hex()}', 'hex'), 'thief', 1)",
        "UPDATE trust_document SET release_threshold = 1",
    )
    release = after_drill.publish([thief])
    ended = after_drill.wait_over(city.client.rollouts.create(release).number)
    assert ended.counts == {"rejected": NODES}, ended
    assert all("needed trusted keys signed" in node.reason for node in ended.nodes)
    assert versions(city) == before


def test_a_fleet_that_holds_updates_back_is_noticed_and_a_fresh_directive_heals_it(
    after_drill: Rehearsal,
) -> None:
    city = after_drill.city
    release = after_drill.publish(after_drill.signers())
    with holding_back(city, "desired_node"):
        patient = RolloutPolicy(retry_s=1, max_attempts=10)
        number = city.client.rollouts.create(release, policy=patient).number
        city.wait_until(lambda: frozen(city) == NODES, what="alarms stand", timeout_s=240)
    ended = after_drill.wait_over(number)
    assert ended.counts == {"confirmed": NODES}, ended
    city.wait_until(lambda: frozen(city) == 0, what="no alarm stands", timeout_s=120)


def test_nodes_go_back_with_a_permission_and_not_without(after_drill: Rehearsal) -> None:
    city = after_drill.city
    rollouts = city.client.rollouts
    older = after_drill.publish(after_drill.signers(), sequence=2)
    permitted = after_drill.publish(after_drill.signers(), sequence=2, downgrade="rollout:back")
    for release, name in ((older, "back"), (permitted, "forth")):
        with pytest.raises(ClientError, match="no node"):
            rollouts.create(release, name=name)
    ended = after_drill.wait_over(rollouts.create(permitted, name="back").number)
    assert ended.counts == {"confirmed": NODES}, ended
    assert versions(city) == {"1.2.0"}


def test_a_gateway_follows_directives_for_its_own_releases_and_goes_back_with_a_permission(
    after_drill: Rehearsal,
) -> None:
    city, signers, sources = after_drill.city, after_drill.signers(), gateway_sources()
    with launched_gateway(city, "gw-own", trial_s=120) as gateway:
        older, permitted = publish(city, sources, signers=signers, downgrade="rollout:return")
        newer, release = publish(city, sources, signers=signers)
        with holding_back(city, "gateway"):
            number = roll_out([gateway], release, retry_s=1, max_attempts=10)
            city.wait_until(lambda: frozen(city) == 1, what="its alarm stands", timeout_s=240)
        assert wait_over(city, number).counts == {"confirmed": 1}
        assert (gateway.version(), frozen(city)) == (newer, 0)
        with pytest.raises(ClientError, match="no gateway"):
            roll_out([gateway], permitted, name="forth-again")
        back = wait_over(city, roll_out([gateway], permitted, name="return"))
        assert (back.counts, gateway.version()) == ({"confirmed": 1}, older)
