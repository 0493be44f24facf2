"""What can be wrong with a release: one root, one class per reason a person acts on differently.

Not transport errors: fetching and storing releases is the callers' business.
"""


class EnvelopeError(ValueError):
    """A release is refused; the message says what failed and what to do next."""


class MalformedError(EnvelopeError):
    """The bytes are not an envelope or bundle of the form that docs/ota.md describes."""


class UntrustedKeyError(EnvelopeError):
    """Too few of the trusted release keys signed the envelope, or none did."""


class BadSignatureError(EnvelopeError):
    """A signature claims to be of a trusted key, or of this manifest, and is not."""


class DigestMismatchError(EnvelopeError):
    """Content does not hash to the digest that stands for it."""


class WrongClassError(EnvelopeError):
    """The release is for another vendor or another kind of board."""


class TooBigError(EnvelopeError):
    """The envelope or a component is bigger than a node accepts."""


class StaleError(EnvelopeError):
    """A trust document is older than the one that counts, or one between is missing."""


class WrongSubjectError(EnvelopeError):
    """A directive is about another node, another gateway or another release."""
