"""A rehearsal with keys on a throw-away city: k of n, revocation, rotation, forgery.

Every step goes on after one that did not hold; nothing outside its folder is touched.
"""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from poleward_manifest import envelope as envelopes
from poleward_manifest import trust
from poleward_manifest.signatures import key_id, public_bytes
from poleward_manifest.trust import TrustDocument
from poleward_tools.client import ClientError, Failure, FleetClient, FleetProfile
from poleward_tools.client.rollout_views import Rollout
from poleward_tools.demo import street
from poleward_tools.demo.city import City, CityPlan
from poleward_tools.demo.narration import Narrator
from poleward_tools.exit_codes import CommandError
from poleward_tools.releases import build, keys, trust_folder

_DAYS = 30
_NODE_S = 240.0
_OFFICER = "security-officer"


@dataclass(frozen=True, slots=True)
class Step:
    """What had to hold, whether it did, and what was found."""

    what: str
    held: bool
    found: str


def drill(narrator: Narrator) -> list[Step]:
    """Bring a city up, rehearse, and take it down.

    Raises:
        CommandError, ClientError: the city did not come up; show it.
    """
    with rehearsal(narrator) as begun:
        return begun.run()


@contextmanager
def rehearsal(narrator: Narrator) -> Iterator["Rehearsal"]:
    """Bring a city up to rehearse in, and take it down at the end of the block.

    Raises:
        CommandError, ClientError: the city did not come up; show it.
    """
    with tempfile.TemporaryDirectory(prefix="poleward-drill-") as folder:
        plan = CityPlan(Path(folder) / "city", poles=1, report_interval_s=1)
        with City(plan) as city:
            city.bring_up(narrator)
            yield Rehearsal(city, narrator, Path(folder) / "keys")


class Rehearsal:
    """The state of one rehearsal.

    Attributes:
        city: where it takes place.
    """

    def __init__(self, city: City, narrator: Narrator, folder: Path) -> None:
        self.city = city
        self._narrator = narrator
        self._folder = folder
        self._releases = 1
        self._stock_console = Path()
        self._new_root = Ed25519PrivateKey.generate()
        self._new_release_key = Ed25519PrivateKey.generate()

    def run(self) -> list[Step]:
        """Take every step in its order."""
        parts: tuple[tuple[str, Callable[[], str]], ...] = (
            ("a document of 2 of 3 keys reaches the node", self._introduce),
            ("a release with one of two signatures is refused", self._one_of_two),
            ("a release with two of three signatures is installed", self._two_of_three),
            ("one person alone cannot revoke a key, two can", self._revoke),
            ("what the revoked key signed is refused", self._revoked_signature),
            ("a document that the old root keys did not sign is refused", self._forge),
            ("a document with a directive key that is not the fleet's is refused", self._misdirect),
            ("a node that was away follows two documents", self._rotate_twice),
            ("a node from the factory follows the newest document at once", self._stock),
            ("new keys and an old one install a release on both", self._new_key),
        )
        steps = []
        for what, part in parts:
            with self._narrator.step(what):
                try:
                    steps.append(Step(what, True, part()))
                except (CommandError, ClientError, _NotHeldError) as error:
                    steps.append(Step(what, False, str(error)))
                    self.city.check()
        return steps

    def _introduce(self) -> str:
        trust_folder.create(
            self._folder,
            trust_folder.TEMPLATES["production"],
            directive_keys=[self._directive_keys()[-1]],
            factory_keys=[self.city.signing_key],
            expires_at_s=trust_folder.in_days(_DAYS),
        )
        self._publish_newest()
        return self._wait_node_follows(1)

    def _one_of_two(self) -> str:
        return _refused(lambda: self.publish(self._release_keys(1)))

    def _two_of_three(self) -> str:
        return self._install(self._release_keys(1, 2))

    def _revoke(self) -> str:
        administrator = self.city.client
        administrator.accounts.put(_OFFICER, roles=["security_officer"], new_password=True)
        token = administrator.accounts.create_token(_OFFICER)
        (key,) = self._release_keys(1)
        key_name = key_id(public_bytes(key))
        with FleetClient(FleetProfile(self.city.web, token)) as officer:
            refusal = _refused(lambda: officer.trust.revoke_key(key_name, "drill"))
            if "second person" not in refusal:
                raise _NotHeldError(refusal)
            (asked,) = (one for one in administrator.approvals.list_approvals() if one.may_decide)
            _refused(lambda: officer.approvals.decide(asked.number, "approve"))
            administrator.approvals.decide(asked.number, "approve")
            officer.trust.revoke_key(key_name, "drill")
        return f"key {key_name.hex()}"

    def _revoked_signature(self) -> str:
        return _refused(lambda: self.publish(self._release_keys(1, 2)))

    def _forge(self) -> str:
        before = self._newest()
        thief = Ed25519PrivateKey.generate()
        role = trust.Role((public_bytes(thief),), 1)
        forged = trust.following(before, expires_at_s=before.expires_at_s, root=role, release=role)
        signed = trust.sign(forged, [thief])
        return _refused(lambda: self.city.client.trust.publish_document(signed))

    def _misdirect(self) -> str:
        before = self._newest()
        thief = trust.Role((public_bytes(Ed25519PrivateKey.generate()),), 1)
        document = trust.following(before, expires_at_s=before.expires_at_s, directive=thief)
        signed = trust.sign(document, self._root_keys(1, 2))
        return _refused(lambda: self.city.client.trust.publish_document(signed))

    def _rotate_twice(self) -> str:
        """Change a release key, a root key and the fleet's directive key: the old signs until 3."""
        self.city.boards.stop()
        self.city.client.trust.make_directive_key()
        both = self._directive_keys()
        try:
            before = self._newest()
            (revoked,) = self._release_keys(1)
            self._follow(
                trust.following(
                    before,
                    expires_at_s=before.expires_at_s,
                    release=trust_folder.changed(
                        before.release,
                        add=[public_bytes(self._new_release_key)],
                        drop=[key_id(public_bytes(revoked)).hex()],
                        threshold=None,
                    ),
                    directive=trust.Role(tuple(both), 1),
                ),
                self._root_keys(1, 2),
            )
            before = self._newest()
            (lost,) = self._root_keys(1)
            self._follow(
                trust.following(
                    before,
                    expires_at_s=before.expires_at_s,
                    root=trust_folder.changed(
                        before.root,
                        add=[public_bytes(self._new_root)],
                        drop=[key_id(public_bytes(lost)).hex()],
                        threshold=None,
                    ),
                    directive=trust.Role((both[-1],), 1),
                ),
                self._root_keys(2, 3),
            )
        finally:
            self.city.boards.start()
        return self._wait_node_follows(3)

    def _stock(self) -> str:
        (pole,) = street.poles(2)[1:]
        self.city.client.import_poles([pole])
        document = trust_folder.load(trust_folder.newest(self._folder))
        (identity,) = self.city.add_nodes([pole], document=document)
        self._stock_console = self.city.nodes_dir / identity.name / "console.log"
        self.city.wait_until(
            lambda: any(node.pole_code == pole.code and node.link_state == "online"
                        for node in self.city.client.list_nodes()),
            what="the node from the factory is online",
            timeout_s=_NODE_S,
        )  # fmt: skip
        return f"node {identity.name}"

    def _new_key(self) -> str:
        found = self._install(self.signers(), nodes=2)
        if "trust document" in self._stock_console.read_text(errors="replace"):
            raise _NotHeldError("the node from the factory had to walk the chain")
        return found

    def _directive_keys(self) -> list[bytes]:
        return [key.public_key for key in self.city.client.trust.get().directive_keys]

    def _root_keys(self, *numbers: int) -> list[Ed25519PrivateKey]:
        return [keys.load_key(self._folder / f"root-{number}.pem") for number in numbers]

    def _release_keys(self, *numbers: int) -> list[Ed25519PrivateKey]:
        return [keys.load_key(self._folder / f"release-{number}.pem") for number in numbers]

    def _newest(self) -> TrustDocument:
        return trust.read(trust_folder.load(trust_folder.newest(self._folder)))

    def _follow(self, document: TrustDocument, signers: Sequence[Ed25519PrivateKey]) -> None:
        path = trust_folder.document_path(self._folder, document.version)
        trust_folder.save(path, trust.sign(document, signers))
        self._publish_newest()

    def _publish_newest(self) -> None:
        signed = trust_folder.load(trust_folder.newest(self._folder))
        self.city.client.trust.publish_document(signed)

    def _wait_node_follows(self, version: int) -> str:
        """Wait until the only node says that it took a document over."""
        consoles = [folder / "console.log" for folder in self.city.nodes_dir.iterdir()]

        def follows() -> bool:
            return any(
                f"trust document {version}\n" in console.read_text(errors="replace")
                for console in consoles
                if console.exists()
            )

        self.city.wait_until(
            follows, what=f"the node follows document {version}", timeout_s=_NODE_S
        )
        return f"document {version}"

    def signers(self) -> list[Ed25519PrivateKey]:
        """Give the keys that sign releases after the last step."""
        return [*self._release_keys(2), self._new_release_key]

    def publish(
        self, signers: Sequence[Ed25519PrivateKey], *, sequence: int = 0, downgrade: str = ""
    ) -> bytes:
        """Build, sign and publish a release, the next one unless a number is given."""
        self._releases += not sequence
        sequence = sequence or self._releases
        built = build.build_release(f"1.{sequence}.0", sequence)
        manifest = replace(built.manifest, downgrade=downgrade)
        self.city.client.upload_artifact(built.bundle)
        return self.city.client.publish_release(envelopes.sign(manifest, signers))

    def wait_over(self, number: int) -> Rollout:
        """Wait until a rollout is over."""
        rollouts = self.city.client.rollouts
        self.city.wait_until(
            lambda: rollouts.get(number).is_over, what="the rollout ended", timeout_s=_NODE_S
        )
        return rollouts.get(number)

    def _install(self, signers: Sequence[Ed25519PrivateKey], *, nodes: int = 1) -> str:
        """Publish a release and bring it to every node."""
        digest = self.publish(signers)
        found = self.wait_over(self.city.client.rollouts.create(digest).number)
        if found.counts.get("confirmed", 0) != nodes:
            reasons = "; ".join(node.reason for node in found.nodes)
            raise _NotHeldError(f"the rollout is {found.state} {found.reason}: {reasons}")
        return f"{found.release_version} confirmed"


class _NotHeldError(Exception):
    """Something came out otherwise; the message says how."""


def _refused(action: Callable[[], object]) -> str:
    """Insist that the fleet refuses something; returns why it did."""
    try:
        action()
    except ClientError as error:
        if error.failure is not Failure.REFUSED:
            raise
        return str(error)
    raise _NotHeldError("it was not refused")
