"""The one error of the client: what failed, of which kind, and what to do next.

It does not decide exit codes; the command line does.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum

import grpc


class Failure(Enum):
    """Kinds of failure that a caller treats differently."""

    UNREACHABLE = "unreachable"  # nobody answered
    REFUSED = "refused"  # the fleet answered no
    USAGE = "usage"  # the request could not be made from what was given
    FAILED = "failed"  # the fleet tried and failed


class ClientError(Exception):
    """A request to the fleet did not succeed.

    Args:
        failure: the kind.
        message: what failed, with the id it concerns.
        advice: what to do next; empty when the message says it.
    """

    def __init__(self, failure: Failure, message: str, advice: str = "") -> None:
        super().__init__(f"{message} {advice}".strip())
        self.failure = failure
        self.message = message
        self.advice = advice


_REFUSALS = {
    grpc.StatusCode.INVALID_ARGUMENT: "",
    grpc.StatusCode.NOT_FOUND: "",
    grpc.StatusCode.ALREADY_EXISTS: "",
    grpc.StatusCode.FAILED_PRECONDITION: "",
    grpc.StatusCode.OUT_OF_RANGE: "",
    grpc.StatusCode.ABORTED: "",
    grpc.StatusCode.RESOURCE_EXHAUSTED: "",
    grpc.StatusCode.UNAUTHENTICATED: "Check --token, POLEWARD_TOKEN or `poleward login`.",
    grpc.StatusCode.PERMISSION_DENIED: "Ask an administrator for the role or the area.",
}


@contextmanager
def translated(action: str, address: str) -> Iterator[None]:
    """Translate gRPC errors of the block.

    Args:
        action: what was tried, for the message, e.g. "set the lamp of BRS-000001".
        address: host:port of the fleet's API.

    Raises:
        ClientError: show it; retry when its failure is UNREACHABLE.
    """
    try:
        yield
    except grpc.RpcError as error:
        code = error.code() if isinstance(error, grpc.Call) else grpc.StatusCode.UNKNOWN
        detail = (error.details() or "") if isinstance(error, grpc.Call) else str(error)
        if code is grpc.StatusCode.UNAVAILABLE:
            raise ClientError(
                Failure.UNREACHABLE,
                f"Cannot {action}: the fleet at {address} does not answer.",
                "Is `poleward fleet serve` running there?",
            ) from error
        if code is grpc.StatusCode.DEADLINE_EXCEEDED:
            raise ClientError(
                Failure.UNREACHABLE,
                f"Cannot {action}: the fleet at {address} did not answer in time.",
                "Try again.",
            ) from error
        if code in _REFUSALS:
            advice = _REFUSALS[code]
            message = f"Cannot {action}: {detail}"
            raise ClientError(
                Failure.REFUSED, f"{message.rstrip('.')}." if advice else message, advice
            ) from error
        raise ClientError(
            Failure.FAILED,
            f"Cannot {action}: {detail or 'no reason given'} ({code.name})",
            "The fleet's log says more.",
        ) from error
