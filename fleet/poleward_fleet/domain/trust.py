"""Who may sign releases, as values.

Not signatures: verifying is the reader's work (ports.trust.DocumentReader).
"""

import hashlib
from dataclasses import dataclass

KEY_BYTES = (32, 60)
"""Sizes of public release keys: Ed25519 and HSS-LMS."""


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
class TrustDocument:
    """A signed document that says who may sign what.

    Attributes:
        signed: As it was published.
        release_keys: Who may sign releases.
        release_threshold: How many of them have to.
        directive_keys: Who may sign directives; without any nobody asks for them.
        directive_threshold: How many of them have to.
    """

    version: int
    digest: bytes
    signed: bytes
    release_keys: tuple[bytes, ...]
    release_threshold: int
    directive_keys: tuple[bytes, ...]
    directive_threshold: int
    expires_at_ms: int


@dataclass(frozen=True, slots=True)
class PublishedDocument:
    """A trust document with when and by whom it was published."""

    version: int
    digest: bytes
    signed: bytes
    release_threshold: int
    directive_keys: tuple[bytes, ...]
    directive_threshold: int
    expires_at_ms: int
    published_at_ms: int
    published_by: str


@dataclass(frozen=True, slots=True)
class Trust:
    """Everything about who may sign.

    Attributes:
        keys: Revoked ones too, oldest first.
        documents: Oldest first.
        directive_keys: The fleet's own, oldest first.
    """

    keys: tuple[ReleaseKey, ...]
    documents: tuple[PublishedDocument, ...]
    directive_keys: tuple[DirectiveKey, ...]

    @property
    def signers(self) -> tuple[bytes, ...]:
        """Public keys whose signatures count now."""
        return tuple(key.public_key for key in self.keys if not key.revoked_at_ms)

    @property
    def threshold(self) -> int:
        """How many of them have to sign a release; one before the first document."""
        return self.documents[-1].release_threshold if self.documents else 1

    @property
    def directors(self) -> tuple[bytes, ...]:
        """The fleet's own keys that sign directives now."""
        if self.newest is None:
            return ()
        named = self.newest.directive_keys
        found = [key.public_key for key in self.directive_keys if key.public_key in named]
        return tuple(found[: self.newest.directive_threshold])

    @property
    def newest(self) -> PublishedDocument | None:
        """The document that counts; None before the first."""
        return self.documents[-1] if self.documents else None


def _key_id(public_key: bytes) -> bytes:
    return hashlib.sha256(public_key).digest()[:8]
