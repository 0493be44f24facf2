"""Release keys, their revocation by two people, and trust documents."""

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from release_builders import BUNDLE, envelope, publish
from release_builders import KEY as RELEASE_KEY
from rollout_rig import begin, offered, report

from fleet_rig import ADMIN, FakeClock, make_poles
from poleward_fleet.assembly import Fleet
from poleward_fleet.domain.accounts import Principal, Role
from poleward_fleet.domain.approvals import ApprovalNeededError
from poleward_fleet.domain.errors import (
    ConflictError,
    ForbiddenError,
    InvalidError,
    NotFoundError,
    ReleaseRefusedError,
)
from poleward_fleet.domain.rollout import NodeStage
from poleward_fleet.domain.rollout_policy import Policy, StageDeadlines, Target, Wave
from poleward_fleet.services.gateways import GatewayLink
from poleward_manifest import trust
from poleward_manifest.envelope import Component, Manifest, key_id, sign
from poleward_manifest.trust import Role as KeyRole
from poleward_manifest.trust import TrustDocument

OLGA = Principal("olga", frozenset({Role.SECURITY_OFFICER}))
PAVEL = Principal("pavel", frozenset({Role.SECURITY_OFFICER}))
SECOND, THIRD, ROOT_A, ROOT_B = (Ed25519PrivateKey.generate() for _ in range(4))


def role(*keys: Ed25519PrivateKey, threshold: int = 1) -> KeyRole:
    return KeyRole(tuple(key.public_key().public_bytes_raw() for key in keys), threshold)


FIRST = TrustDocument(
    1,
    2_000_000_000,
    role(ROOT_A, ROOT_B, threshold=2),
    role(RELEASE_KEY, SECOND, THIRD, threshold=2),
    KeyRole((), 1),
)


async def publish_first(fleet: Fleet) -> None:
    await fleet.trust.publish(OLGA, trust.sign(FIRST, [ROOT_A, ROOT_B, RELEASE_KEY]))


def signed_by(*keys: Ed25519PrivateKey, sequence: int) -> bytes:
    version = f"1.{sequence}.0"
    return sign(Manifest(sequence, version, "pole-basic", Component.of_bundle(BUNDLE)), keys)


async def revoke(fleet: Fleet, key: Ed25519PrivateKey) -> None:
    public_id = key_id(key.public_key().public_bytes_raw())
    with pytest.raises(ApprovalNeededError) as needed:
        await fleet.trust.revoke_key(OLGA, public_id, "lost")
    await fleet.approvals.approve(PAVEL, needed.value.approval.number)
    await fleet.trust.revoke_key(OLGA, public_id, "lost")


async def test_a_key_that_two_people_revoked_signs_nothing_any_more(fleet: Fleet) -> None:
    await publish(fleet)
    await revoke(fleet, RELEASE_KEY)
    with pytest.raises(ReleaseRefusedError, match="no release key"):
        await fleet.releases.publish(ADMIN, envelope(3), "")
    for again in (
        fleet.trust.trust_key(OLGA, RELEASE_KEY.public_key().public_bytes_raw(), "again"),
        fleet.trust.revoke_key(OLGA, key_id(RELEASE_KEY.public_key().public_bytes_raw()), "lost"),
    ):
        with pytest.raises(ConflictError, match="was revoked by olga"):
            await again
    actions = [record.entry.action for record in await fleet.audit.records(ADMIN)]
    assert "release_key.revoke" in actions


async def test_one_person_cannot_revoke_and_an_operator_cannot_ask(fleet: Fleet) -> None:
    await publish(fleet)
    public_id = key_id(RELEASE_KEY.public_key().public_bytes_raw())
    with pytest.raises(ApprovalNeededError) as needed:
        await fleet.trust.revoke_key(OLGA, public_id, "lost")
    with pytest.raises(ForbiddenError):
        await fleet.approvals.approve(OLGA, needed.value.approval.number)
    with pytest.raises(ForbiddenError):
        await fleet.trust.revoke_key(
            Principal("ivan", frozenset({Role.OPERATOR})), public_id, "lost"
        )
    with pytest.raises(NotFoundError):
        await fleet.trust.revoke_key(OLGA, bytes(8), "lost")
    assert (await fleet.releases.publish(ADMIN, envelope(3), "")).sequence == 3


async def test_a_document_asks_for_as_many_keys_as_it_says(fleet: Fleet) -> None:
    await publish(fleet)
    await publish_first(fleet)
    for keys in ([RELEASE_KEY], [RELEASE_KEY, RELEASE_KEY], [RELEASE_KEY, ROOT_A]):
        with pytest.raises(ReleaseRefusedError, match="1 of 2"):
            await fleet.releases.publish(ADMIN, signed_by(*keys, sequence=3), "")
    two = await fleet.releases.publish(ADMIN, signed_by(SECOND, THIRD, sequence=3), "")
    assert two.sequence == 3


async def test_no_rollout_begins_under_a_document_that_ends_before_a_wave_could(
    fleet: Fleet, link: GatewayLink, clock: FakeClock
) -> None:
    await make_poles(fleet, 2)
    await publish(fleet)
    await publish_first(fleet)
    release = await fleet.releases.publish(ADMIN, signed_by(SECOND, THIRD, sequence=3), "")
    hour = Policy(waves=(Wave(nodes=1, wait_s=3600), Wave()), deadlines=StageDeadlines(*[600] * 4))
    expires_ms = FIRST.expires_at_s * 1000
    clock.pass_ms(expires_ms - clock.now_ms() - 6_000_000)
    number = await begin(fleet, release, waves=hour.waves, deadlines=hour.deadlines)
    await report(fleet, link, release, (await offered(fleet, number))[0], NodeStage.CONFIRMED)
    await fleet.rollouts.pause(ADMIN, number)
    clock.pass_ms(1_000)
    for refused in (
        fleet.rollouts.resume(ADMIN, number),
        fleet.rollouts.dry_run(ADMIN, release.digest, Target(), hour),
        fleet.rollouts.create(ADMIN, release.digest, Target(), hour),
    ):
        with pytest.raises(ConflictError, match=r"expires at 2033-05-18 03:33 UTC.*rotate"):
            await refused
    clock.pass_ms(6_000_000)
    with pytest.raises(ConflictError, match=r"has expired.*`poleward keys rotate`"):
        await fleet.rollouts.resume(ADMIN, number)
    following = trust.following(FIRST, expires_at_s=FIRST.expires_at_s + 86_400)
    await fleet.trust.publish(OLGA, trust.sign(following, [ROOT_A, ROOT_B]))
    await fleet.rollouts.resume(ADMIN, number)


async def test_gateways_are_told_of_keys_threshold_and_documents(fleet: Fleet) -> None:
    await publish(fleet)
    before = await fleet.trust.trust(ADMIN)
    assert (before.threshold, before.newest) == (1, None)
    await publish_first(fleet)
    await revoke(fleet, SECOND)
    now = await fleet.trust.trust(ADMIN)
    assert now.threshold == 2
    assert set(now.signers) == set(role(RELEASE_KEY, THIRD).keys)
    assert now.newest
    assert await fleet.artifacts.size(now.newest.digest) == len(now.newest.signed)


async def test_a_key_that_a_document_leaves_out_is_revoked(fleet: Fleet) -> None:
    await publish(fleet)
    await publish_first(fleet)
    following = trust.following(FIRST, expires_at_s=2_000_000_001, release=role(SECOND))
    await fleet.trust.publish(OLGA, trust.sign(following, [ROOT_A, ROOT_B]))
    now = await fleet.trust.trust(ADMIN)
    assert now.signers == role(SECOND).keys
    assert {key.revoked_by for key in now.keys} == {"", "trust document 2"}
    back = trust.following(following, expires_at_s=2_000_000_002, release=FIRST.release)
    with pytest.raises(ConflictError, match="never"):
        await fleet.trust.publish(OLGA, trust.sign(back, [ROOT_A, ROOT_B]))
    with pytest.raises(ConflictError, match="document 2 says"):
        await fleet.trust.trust_key(OLGA, bytes(32), "late")


async def test_bad_documents_change_nothing(fleet: Fleet) -> None:
    await publish(fleet)
    following = trust.following(FIRST, expires_at_s=2_000_000_000)
    expired = TrustDocument(1, 1, FIRST.root, FIRST.release, FIRST.directive)
    for bad, reason in (
        (b"", "trust document"),
        (trust.sign(FIRST, [ROOT_A, RELEASE_KEY]), "its own root keys"),
        (trust.sign(FIRST, [ROOT_A, ROOT_B]), "the previous root keys"),
        (trust.sign(following, [ROOT_A, ROOT_B, RELEASE_KEY]), "does not follow"),
        (trust.sign(expired, [ROOT_A, ROOT_B, RELEASE_KEY]), "expired"),
    ):
        with pytest.raises(ReleaseRefusedError, match=reason):
            await fleet.trust.publish(OLGA, bad)
    with pytest.raises(InvalidError):
        await fleet.trust.trust_key(OLGA, b"short", "x")
    assert (await fleet.trust.trust(ADMIN)).newest is None
    assert (await fleet.releases.publish(ADMIN, envelope(4), "")).sequence == 4
