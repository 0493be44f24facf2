"""Errors of the fleet: one root, one class per thing that a caller can do about it.

Not how they look on a link: the gRPC and web adapters turn them into status codes and pages.
"""

from typing import Self

from poleward_fleet.domain.words import Value, Words


class FleetError(Exception):
    """Root of every expected error; its text is for people and says what to do next."""

    words: Words | None = None

    @classmethod
    def of(cls, key: str, /, **values: Value) -> Self:
        """Make an error that pages can say in any language."""
        words = Words.of(key, **values)
        error = cls(str(words))
        error.words = words
        return error

    @property
    def said(self) -> Words:
        """What it says, for a page or a report."""
        return self.words or Words.told(str(self))


class NotFoundError(FleetError):
    """Something that was named does not exist, or the caller may not know that it does."""


class InvalidError(FleetError):
    """The request makes no sense as it is; sending it again changes nothing."""


class ConflictError(FleetError):
    """The request clashes with what is stored, e.g. a node that stands in another pole."""


class UnauthenticatedError(FleetError):
    """Who the caller is could not be established: wrong password, token or session."""


class ForbiddenError(FleetError):
    """The caller is known and may not do this here."""


class TooManyAttemptsError(FleetError):
    """Too many failed attempts; wait and try again.

    Args:
        message: For people.
        retry_after_s: Seconds until the next attempt is looked at.
    """

    def __init__(self, message: str, retry_after_s: int) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class UnavailableError(FleetError):
    """Something the fleet needs is not there at the moment, e.g. its database; try again later."""


class BatchGapError(FleetError):
    """A gateway sent a batch whose predecessors are not stored; it has to resend from there.

    Args:
        stored: Highest batch number that is stored.
        received: Batch number that came.
    """

    def __init__(self, stored: int, received: int) -> None:
        super().__init__(
            f"batch {received} came, but only batches up to {stored} are stored: "
            f"resend from {stored + 1}"
        )
        self.stored = stored
        self.received = received


class ReleaseRefusedError(InvalidError):
    """A release envelope did not verify; the text says which check failed."""


class ConfigurationError(FleetError):
    """The program cannot start as it is configured, e.g. a port is in use (exit code 2)."""


class PeerUnreachableError(FleetError):
    """A peer needed at start cannot be reached, e.g. the database (exit code 3)."""
