"""Who may sign releases, as values.

Not signatures: verifying is the reader's work (ports.trust.DocumentReader).
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

KEY_BYTES = (32, 60)
"""Sizes of public release keys: Ed25519 and HSS-LMS."""
RENEWAL_MS = 60 * 86_400_000
"""So long before a document expires its successor is asked for: root keys lie in safes."""


@dataclass(frozen=True, slots=True)
class ReleaseKey:
    """A public key whose signature makes a release valid, unless it was revoked.

    Attributes:
        public_key: Its size tells the kind, see KEY_BYTES.
        revoked_at_ms: 0 for not revoked.
        revoked_by: An account, or the document that left it out.
    """

    public_key: bytes
    name: str
    trusted_at_ms: int
    revoked_at_ms: int = 0
    revoked_by: str = ""

    @property
    def key_id(self) -> bytes:
        """The key's short name."""
        return _key_id(self.public_key)


@dataclass(frozen=True, slots=True)
class DirectiveKey:
    """The public half of a key with which the fleet signs directives, once a document names it."""

    public_key: bytes
    made_at_ms: int

    @property
    def key_id(self) -> bytes:
        """The key's short name."""
        return _key_id(self.public_key)


@dataclass(frozen=True, slots=True)
class KeyRole:
    """Keys for one purpose.

    Attributes:
        keys: Public keys.
        threshold: How many different ones of them have to sign.
    """

    keys: tuple[bytes, ...]
    threshold: int


@dataclass(frozen=True, slots=True)
class TrustDocument:
    """A signed document that says who may sign what.

    Attributes:
        digest: SHA-256 of `signed`.
        signed: As it was published.
        root: Who may sign the next document.
        release: Who may sign releases.
        directive: Who may sign directives; without any key nobody asks for them.
        published_at_ms: 0 before that.
    """

    version: int
    digest: bytes
    signed: bytes
    root: KeyRole
    release: KeyRole
    directive: KeyRole
    expires_at_ms: int
    published_at_ms: int = 0
    published_by: str = ""

    def has_expired(self, now_ms: int) -> bool:
        """Tell whether nothing is installed under it any more."""
        return self.expires_at_ms <= now_ms

    def is_to_be_renewed(self, now_ms: int) -> bool:
        """Tell whether it is time to get the holders of the root keys together."""
        return self.expires_at_ms <= now_ms + RENEWAL_MS


class DirectiveKeyState(Enum):
    """What a key for directives does now."""

    SIGNS = "signs"
    WAITS = "waits"  # the newest document names it, and older ones are enough
    UNNAMED = "unnamed"  # it is the fleet's, and no document that counts names it
    FOREIGN = "foreign"  # the newest document names it, and the fleet does not have it


@dataclass(frozen=True, slots=True)
class ListedKey:
    """A key for people.

    Attributes:
        since_ms: When it was made, or first named by a published document.
        state: Of a key for directives.
    """

    key_id: bytes
    since_ms: int
    state: DirectiveKeyState | None = None


@dataclass(frozen=True, slots=True)
class Trust:
    """Everything about who may sign.

    Attributes:
        keys: Revoked ones too, oldest first.
        documents: Oldest first.
        directive_keys: The fleet's own, oldest first.
    """

    keys: tuple[ReleaseKey, ...]
    documents: tuple[TrustDocument, ...]
    directive_keys: tuple[DirectiveKey, ...]

    @property
    def signers(self) -> tuple[bytes, ...]:
        """Public keys whose signatures count now."""
        return tuple(key.public_key for key in self.keys if not key.revoked_at_ms)

    @property
    def threshold(self) -> int:
        """How many of them have to sign a release; one before the first document."""
        return self.documents[-1].release.threshold if self.documents else 1

    @property
    def directors(self) -> tuple[bytes, ...]:
        """The fleet's own keys that sign directives now."""
        if self.newest is None:
            return ()
        named = self.newest.directive
        found = [key.public_key for key in self.directive_keys if key.public_key in named.keys]
        return tuple(found[: named.threshold])

    @property
    def newest(self) -> TrustDocument | None:
        """The document that counts; None before the first."""
        return self.documents[-1] if self.documents else None

    @property
    def listed_root_keys(self) -> tuple[ListedKey, ...]:
        """Who may sign the next document."""
        named = self.newest.root.keys if self.newest else ()
        return tuple(
            ListedKey(_key_id(key), self._named_since_ms(key, lambda document: document.root))
            for key in named
        )

    @property
    def listed_directive_keys(self) -> tuple[ListedKey, ...]:
        """The fleet's own keys for directives, oldest first, and then those of others."""
        named = self.newest.directive.keys if self.newest else ()
        own = {key.public_key for key in self.directive_keys}
        directors = self.directors

        def state(key: bytes) -> DirectiveKeyState:
            if key in directors:
                return DirectiveKeyState.SIGNS
            return DirectiveKeyState.WAITS if key in named else DirectiveKeyState.UNNAMED

        return tuple(
            ListedKey(key.key_id, key.made_at_ms, state(key.public_key))
            for key in self.directive_keys
        ) + tuple(
            ListedKey(
                _key_id(key),
                self._named_since_ms(key, lambda document: document.directive),
                DirectiveKeyState.FOREIGN,
            )
            for key in named
            if key not in own
        )

    def _named_since_ms(self, key: bytes, role: Callable[[TrustDocument], KeyRole]) -> int:
        return next(one.published_at_ms for one in self.documents if key in role(one).keys)


def _key_id(public_key: bytes) -> bytes:
    return hashlib.sha256(public_key).digest()[:8]
