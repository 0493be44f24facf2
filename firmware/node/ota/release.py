"""What a verified envelope says.

A module of its own: an object keeps the module of its class in the heap, and reading envelopes is
dropped while what they name is still needed.
"""


class Release:
    """A release that may be installed.

    Attributes:
        sequence: what decides which release is newer.
        version: for people.
        digest: SHA-256 of the plain component.
        size_bytes: of the plain component.
    """

    def __init__(self, sequence: int, version: str, digest: bytes, size_bytes: int) -> None:
        self.sequence = sequence
        self.version = version
        self.digest = digest
        self.size_bytes = size_bytes
