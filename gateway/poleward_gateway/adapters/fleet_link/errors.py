"""Translates errors of gRPC into the gateway's, at the border.

Not their handling.
"""

import grpc

from poleward_gateway.domain.errors import GatewayError, PeerUnreachableError, RefusedError

_UNREACHABLE = {
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.CANCELLED,
    grpc.StatusCode.UNKNOWN,
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.ABORTED,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
}
# What OpenSSL says through gRPC when a certificate does not fit.
_CERTIFICATE_WORDS = ("certificate", "handshake", "ssl")


def translated(error: grpc.aio.AioRpcError, what: str) -> GatewayError:
    """Return the gateway's error for one of gRPC's.

    Args:
        error: Error of a call.
        what: What was tried, for the message.
    """
    details = error.details() or error.code().name
    if error.code() not in _UNREACHABLE:
        return RefusedError(f"{what}: the fleet refused ({error.code().name}): {details}")
    if any(word in details.lower() for word in _CERTIFICATE_WORDS):
        return RefusedError(
            f"{what}: the fleet's or the gateway's certificate was not accepted ({details}); "
            "is this the fleet where the gateway was enrolled? If so, enrol it again"
        )
    return PeerUnreachableError(f"{what}: the fleet does not answer ({details})")
