"""Turns the fleet's errors into status codes, in one place for every call.

Not the messages: errors carry their own, written for people.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
import structlog

from poleward_fleet.domain.errors import (
    BatchGapError,
    ConflictError,
    FleetError,
    ForbiddenError,
    InvalidError,
    NotFoundError,
    TooManyAttemptsError,
    UnauthenticatedError,
    UnavailableError,
)

_log = structlog.get_logger(__name__)

_CODES: tuple[tuple[type[FleetError], grpc.StatusCode], ...] = (
    (NotFoundError, grpc.StatusCode.NOT_FOUND),
    (InvalidError, grpc.StatusCode.INVALID_ARGUMENT),
    (ConflictError, grpc.StatusCode.FAILED_PRECONDITION),
    (UnauthenticatedError, grpc.StatusCode.UNAUTHENTICATED),
    (ForbiddenError, grpc.StatusCode.PERMISSION_DENIED),
    (TooManyAttemptsError, grpc.StatusCode.RESOURCE_EXHAUSTED),
    (UnavailableError, grpc.StatusCode.UNAVAILABLE),
    # The gateway connects again and goes on after the batch that Welcome names.
    (BatchGapError, grpc.StatusCode.OUT_OF_RANGE),
)


def status_of(error: FleetError) -> grpc.StatusCode:
    """Return the status code of an error; INTERNAL for a class without one."""
    for kind, code in _CODES:
        if isinstance(error, kind):
            return code
    return grpc.StatusCode.INTERNAL


class ErrorInterceptor(grpc.aio.ServerInterceptor):  # type: ignore[type-arg]
    """Ends calls that raised with a status; what we did not expect is logged, not shown."""

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        details: grpc.HandlerCallDetails,
    ) -> Any:
        """Wrap the handler of a call."""
        handler = await continuation(details)
        if handler is None or str(details.method).startswith("/grpc."):
            return handler
        method = str(details.method)
        if handler.response_streaming and handler.request_streaming:
            return grpc.stream_stream_rpc_method_handler(
                self._coroutine(handler.stream_stream, method),
                handler.request_deserializer,
                handler.response_serializer,
            )
        if handler.response_streaming:
            return grpc.unary_stream_rpc_method_handler(
                self._generator(handler.unary_stream, method),
                handler.request_deserializer,
                handler.response_serializer,
            )
        if handler.request_streaming:
            return grpc.stream_unary_rpc_method_handler(
                self._coroutine(handler.stream_unary, method),
                handler.request_deserializer,
                handler.response_serializer,
            )
        return grpc.unary_unary_rpc_method_handler(
            self._coroutine(handler.unary_unary, method),
            handler.request_deserializer,
            handler.response_serializer,
        )

    def _coroutine(self, handle: Callable[..., Awaitable[Any]], method: str) -> Any:
        async def handled(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
            try:
                return await handle(request, context)
            except Exception as error:  # noqa: BLE001 — the last border before the wire
                await _end(error, method, context)

        return handled

    def _generator(self, handle: Callable[..., AsyncIterator[Any]], method: str) -> Any:
        async def handled(
            request: Any, context: grpc.aio.ServicerContext[Any, Any]
        ) -> AsyncIterator[Any]:
            try:
                async for response in handle(request, context):
                    yield response
            except Exception as error:  # noqa: BLE001 — the last border before the wire
                await _end(error, method, context)

        return handled


async def _end(error: Exception, method: str, context: grpc.aio.ServicerContext[Any, Any]) -> None:
    if isinstance(error, FleetError):
        await context.abort(status_of(error), str(error))
    if isinstance(error, grpc.aio.AbortError):
        raise error
    _log.error("call_failed", method=method, exc_info=error)
    await context.abort(
        grpc.StatusCode.INTERNAL, "the fleet manager failed to handle this; its log says why"
    )
