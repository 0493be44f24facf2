"""Obtains the gateway's certificate: the first with a one-time token, the next with the last.

Not the storage of either: identity.py.
"""

import asyncio
import json
import urllib.error
import urllib.request
from dataclasses import replace
from urllib.parse import urlsplit

import grpc

from poleward.v1 import enrollment_service_pb2 as enrollment_pb2
from poleward.v1 import enrollment_service_pb2_grpc as enrollment_grpc
from poleward_gateway.adapters.fleet_link.errors import translated
from poleward_gateway.adapters.fleet_link.identity import (
    Identity,
    certificate_request,
    check_pin,
    new_key_pem,
)
from poleward_gateway.domain.errors import (
    ConfigurationError,
    PeerUnreachableError,
    RefusedError,
)

DISCOVERY_PATH = "/.well-known/poleward.json"
DISCOVERY_MAX_BYTES = 64 * 1024
CALL_TIMEOUT_S = 20.0
_PROVISIONAL_NAME = "gateway"


async def enroll(fleet_url: str, token: str) -> Identity:
    """Redeem a one-time token.

    The discovery document is not authenticated; its CA certificate is believed only because the
    token names it, and everything after that is TLS under this CA.

    Raises:
        ConfigurationError: Address or token are malformed.
        PeerUnreachableError: The fleet does not answer.
        RefusedError: The fleet is another one, or does not take the token.
    """
    discovery = await asyncio.to_thread(_discover, fleet_url)
    ca_pem = str(discovery["ca_pem"])
    check_pin(ca_pem, token)
    key_pem = new_key_pem()
    request = enrollment_pb2.EnrollRequest(
        token=token, csr_pem=certificate_request(key_pem, _PROVISIONAL_NAME)
    )
    credentials = grpc.ssl_channel_credentials(root_certificates=ca_pem.encode())
    async with grpc.aio.secure_channel(str(discovery["api"]), credentials) as channel:
        stub = enrollment_grpc.EnrollmentServiceStub(channel)
        try:
            response = await stub.Enroll(request, timeout=CALL_TIMEOUT_S)
        except grpc.aio.AioRpcError as error:
            raise translated(error, f"enrolling at {discovery['api']}") from error
    return Identity(
        name=response.gateway_name,
        key_pem=key_pem,
        certificate_pem=response.certificate_pem.encode(),
        ca_pem=response.ca_pem.encode() or ca_pem.encode(),
        link_address=response.link_address or str(discovery["link"]),
    )


async def renew(identity: Identity, channel: grpc.aio.Channel) -> Identity:
    """Exchange a valid certificate for a newer one, with a new key.

    Raises:
        PeerUnreachableError: The fleet does not answer; try again later.
        RefusedError: The fleet does not renew; enrol again.
    """
    key_pem = new_key_pem()
    stub = enrollment_grpc.EnrollmentServiceStub(channel)
    request = enrollment_pb2.RenewRequest(csr_pem=certificate_request(key_pem, identity.name))
    try:
        response = await stub.Renew(request, timeout=CALL_TIMEOUT_S)
    except grpc.aio.AioRpcError as error:
        raise translated(error, "renewing the certificate") from error
    return replace(identity, key_pem=key_pem, certificate_pem=response.certificate_pem.encode())


def _discover(fleet_url: str) -> dict[str, object]:
    """Read where the fleet's ports are and what its CA certificate is."""
    if urlsplit(fleet_url).scheme not in {"http", "https"} or not urlsplit(fleet_url).hostname:
        raise ConfigurationError(
            f"{fleet_url!r} is not the fleet's address; give one like http://fleet.example:8080"
        )
    url = fleet_url.rstrip("/") + DISCOVERY_PATH
    try:
        # The scheme was checked above.
        with urllib.request.urlopen(url, timeout=CALL_TIMEOUT_S) as answer:  # noqa: S310
            content = answer.read(DISCOVERY_MAX_BYTES)
    except urllib.error.HTTPError as error:
        raise RefusedError(f"{url} answers {error.code}; is this the fleet's address?") from error
    except (OSError, ValueError) as error:
        raise PeerUnreachableError(f"the fleet does not answer at {url}: {error}") from error
    try:
        found = json.loads(content)
        return {name: found[name] for name in ("api", "link", "ca_pem")}
    except (ValueError, KeyError, TypeError) as error:
        raise RefusedError(f"{url} is not a fleet's: {error!r}; check the address") from error
