"""The HTTP server that technicians' devices ask when the gateway cannot reach the fleet.

Not the visits (services/site_visits.py). It answers the paths of the fleet's page; each request is
proved by an HMAC instead of a session (poleward_commissioning/proof.py), so that it may be spoken
over a link that others hear.
"""

import asyncio
import json
import socketserver
import threading
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import structlog

from poleward_commissioning.proof import PROOF_HEADER, TECHNICIAN_HEADER, TIME_HEADER
from poleward_commissioning.visit import SiteRequest
from poleward_gateway.domain.errors import ConfigurationError, StorageError
from poleward_gateway.domain.site_visits import Refusal, VisitRefusedError
from poleward_gateway.services.site_visits import SiteVisits

_log = structlog.get_logger(__name__)

BODY_MAX_BYTES = 16 * 1024
WORKERS = 8
"""Requests that are answered at the same time; further ones wait to be accepted."""
ANSWER_TIMEOUT_S = 90.0
_VISITS = "/data/visits"
_STATUS = {
    Refusal.INVALID: "400 Bad Request",
    Refusal.NOT_PROVED: "401 Unauthorized",
    Refusal.FORBIDDEN: "403 Forbidden",
    Refusal.UNKNOWN: "404 Not Found",
    Refusal.CONFLICT: "409 Conflict",
}
_OK = "200 OK"


class SiteServer:
    """Serves visits on a TCP port; its requests are handled on the gateway's event loop.

    Args:
        visits: What is asked about.
        host: Address to listen on.
        port: TCP port; 0 chooses a free one.
        loop: The gateway's.

    Raises:
        ConfigurationError: The port is taken; choose another.
    """

    def __init__(
        self, visits: SiteVisits, host: str, port: int, loop: asyncio.AbstractEventLoop
    ) -> None:
        self._visits = visits
        self._loop = loop
        try:
            self._server = make_server(
                host, port, self._answer, server_class=_PooledServer, handler_class=_Silent
            )
        except OSError as error:
            raise ConfigurationError(
                f"cannot serve technicians on {host}, TCP port {port}: {error}; "
                "stop the program that uses it or choose another with --site-port"
            ) from error
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        """TCP port that is served."""
        return int(self._server.server_port)

    def close(self) -> None:
        """Stop serving; requests under way are not waited for."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _answer(self, environ: Mapping[str, Any], start_response: Any) -> Iterable[bytes]:
        """Answer one request, on a thread of the pool."""
        headers = [("Content-Type", "application/json"), ("Cache-Control", "no-store")]
        if origin := self._visits.page_origin:
            allowed = f"content-type, {TECHNICIAN_HEADER}, {TIME_HEADER}, {PROOF_HEADER}"
            headers += [
                ("Access-Control-Allow-Origin", origin),
                ("Access-Control-Allow-Headers", allowed),
                ("Access-Control-Max-Age", "600"),
                ("Vary", "Origin"),
            ]
        if environ["REQUEST_METHOD"] == "OPTIONS":
            start_response("204 No Content", headers)
            return []
        try:
            content = _body(environ)
            handled = asyncio.run_coroutine_threadsafe(self._handle(environ, content), self._loop)
            answer = handled.result(ANSWER_TIMEOUT_S)
            status = _OK
        except VisitRefusedError as error:
            status, answer = _STATUS[error.refusal], {"error": str(error)}
        except StorageError as error:
            status, answer = "503 Service Unavailable", {"error": str(error)}
        except TimeoutError:
            status, answer = "504 Gateway Timeout", {"error": "not in time; ask again"}
        start_response(status, headers)
        return [json.dumps(answer).encode()]

    async def _handle(self, environ: Mapping[str, Any], content: bytes) -> dict[str, Any]:
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        technician = _header(environ, TECHNICIAN_HEADER)
        at = _header(environ, TIME_HEADER)
        at_ms = int(at) if at.isascii() and at.isdigit() and len(at) < 16 else 0
        given = _header(environ, PROOF_HEADER)
        self._visits.check_proof(technician, given, method, path, at_ms, content)
        try:
            asked = json.loads(content) if content else {}
            if (method, path) == ("POST", _VISITS):
                return await self._visits.begin(technician, SiteRequest.from_message(asked))
        except ValueError as error:
            raise VisitRefusedError(Refusal.INVALID, str(error)) from error
        visit_id, _, action = path.removeprefix(f"{_VISITS}/").partition("/")
        match method, action:
            case "GET", "":
                return self._visits.state(visit_id)
            case "POST", "blink":
                return await self._visits.blink(visit_id)
            case "POST", "sign-off":
                note = asked.get("note", "") if isinstance(asked, dict) else ""
                return await self._visits.sign_off(visit_id, str(note))
        raise VisitRefusedError(Refusal.UNKNOWN, f"{method} {path} is not answered here")


class _PooledServer(socketserver.ThreadingMixIn, WSGIServer):
    """Answers WORKERS requests at a time."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._pool = ThreadPoolExecutor(WORKERS, thread_name_prefix="site")

    def process_request(self, request: Any, client_address: Any) -> None:
        self._pool.submit(self.process_request_thread, request, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        _log.info("site_request_broke", exc_info=True)

    def server_close(self) -> None:
        super().server_close()
        self._pool.shutdown(wait=False, cancel_futures=True)


class _Silent(WSGIRequestHandler):
    """Does not log each request, and waits for none for ever."""

    timeout = 5

    def log_request(self, code: object = "-", size: object = "-") -> None:
        """Log nothing."""

    def log_error(self, *arguments: object) -> None:
        """Log nothing."""


def _header(environ: Mapping[str, Any], name: str) -> str:
    # WSGI has the bytes of a header as Latin-1 (PEP 3333).
    value: str = environ.get("HTTP_" + name.upper().replace("-", "_"), "")
    return value.encode("latin-1", "replace").decode("utf-8", "replace")


def _body(environ: Mapping[str, Any]) -> bytes:
    length = environ.get("CONTENT_LENGTH") or "0"
    if not length.isdigit() or int(length) > BODY_MAX_BYTES:
        raise VisitRefusedError(Refusal.INVALID, f"a request has at most {BODY_MAX_BYTES} bytes")
    content: bytes = environ["wsgi.input"].read(int(length))
    return content
