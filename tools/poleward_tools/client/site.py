"""A gateway on site as typed calls: a technician's visits by its work order, without the fleet.

It knows neither the work order nor the checks; the gateway decides.
"""

import http.client
import json
import time
from typing import Any
from urllib.parse import urlsplit

from poleward_commissioning.proof import PROOF_HEADER, TECHNICIAN_HEADER, TIME_HEADER, proof
from poleward_tools.client.commissioning import VisitCheck, VisitState
from poleward_tools.client.errors import ClientError, Failure

_TIMEOUT_S = 30.0
_BLINK_TIMEOUT_S = 90.0
_VISITS = "/data/visits"


class SiteCalls:
    """Visits at one gateway; each raises ClientError as FleetClient does.

    Args:
        url: Of the gateway, e.g. "http://192.0.2.7:8090".
        technician: Name of the account in the work order.
        secret: That came with the pass.
    """

    def __init__(self, url: str, technician: str, secret: bytes) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.netloc:
            raise ClientError(
                Failure.USAGE,
                f"'{url}' is no address of a gateway.",
                "Give one like http://HOST:PORT.",
            )
        is_secure = parts.scheme == "https"
        self._kind = http.client.HTTPSConnection if is_secure else http.client.HTTPConnection
        self._address = parts.netloc
        self._technician = technician
        self._secret = secret

    def begin(
        self, visit_id: str, *, mac: str, claim_code: str, pole_code: str, swap: bool
    ) -> VisitState:
        """Claim a node for a pole; the same visit again changes nothing."""
        message = {
            "visit_id": visit_id,
            "mac": mac,
            "claim_code": claim_code,
            "pole_code": pole_code,
            "swap": swap,
        }
        return self._ask("POST", _VISITS, message)

    def state(self, visit_id: str) -> VisitState:
        """Get how the checks stand."""
        return self._ask("GET", f"{_VISITS}/{visit_id}")

    def blink(self, visit_id: str) -> VisitState:
        """Let the lamp go bright and dim."""
        return self._ask("POST", f"{_VISITS}/{visit_id}/blink", timeout_s=_BLINK_TIMEOUT_S)

    def sign(self, visit_id: str, note: str) -> VisitState:
        """Sign off."""
        return self._ask("POST", f"{_VISITS}/{visit_id}/sign-off", {"note": note})

    def _ask(
        self, method: str, path: str, message: Any = None, *, timeout_s: float = _TIMEOUT_S
    ) -> VisitState:
        body = b"" if message is None else json.dumps(message).encode()
        at_ms = int(time.time() * 1000)
        headers = {
            "content-type": "application/json",
            # Headers are sent as Latin-1; the gateway reads them as UTF-8.
            TECHNICIAN_HEADER: self._technician.encode().decode("latin-1"),
            TIME_HEADER: str(at_ms),
            PROOF_HEADER: proof(self._secret, method, path, at_ms, body),
        }
        connection = self._kind(self._address, timeout=timeout_s)
        try:
            connection.request(method, path, body=body, headers=headers)
            answer = connection.getresponse()
            said = json.loads(answer.read())
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise ClientError(
                Failure.UNREACHABLE,
                f"The gateway at {self._address} does not answer: {error}.",
                "Check the address and that you are in its network.",
            ) from error
        finally:
            connection.close()
        if answer.status != http.HTTPStatus.OK:
            words = said.get("error", f"it answered {answer.status}")
            raise ClientError(Failure.REFUSED, f"The gateway refused: {words}.")
        checks = tuple(VisitCheck(c["name"], c["verdict"], c["value"]) for c in said["checks"])
        return VisitState(said["signed_at_ms"], said["is_complete"], checks)
