"""What a verified envelope says.

A module of its own: an object keeps the module of its class in the heap, and reading envelopes is
dropped while what they name is still needed.
"""


class Part:
    """One component of a release: SHA-256 and size of what it is when it is plain."""

    def __init__(self, digest: bytes, size_bytes: int) -> None:
        self.digest = digest
        self.size_bytes = size_bytes


class Release:
    """A release that may be installed.

    Attributes:
        sequence: what decides which release is newer.
        version: for people.
        bundle: the application.
        image: the MicroPython it is made for; None when the one that runs will do.
    """

    def __init__(self, sequence: int, version: str, bundle: Part, image: "Part | None") -> None:
        self.sequence = sequence
        self.version = version
        self.bundle = bundle
        self.image = image
