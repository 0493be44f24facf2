"""Opens the TLS channel to a fleet whose CA the token pins.

It knows no service; `fleet.py` does.
"""

import hashlib
import hmac
import json
import ssl
import urllib.error
import urllib.request

import grpc

from poleward_tools.client.errors import ClientError, Failure
from poleward_tools.client.profile import FleetProfile

WELL_KNOWN = "/.well-known/poleward.json"
_DISCOVERY_TIMEOUT_S = 10.0
_MESSAGE_MAX_BYTES = 16 * 1024 * 1024


def discover(profile: FleetProfile) -> tuple[str, bytes]:
    """Ask the fleet where its API is and check its CA certificate against the token.

    Returns:
        host:port of the API and the CA certificate in PEM.

    Raises:
        ClientError: nobody answers, the answer is not a fleet's, or the CA is not the one the
            token names (then do not go on: someone may stand in between).
    """
    address = profile.url + WELL_KNOWN
    try:
        # S310: FleetProfile let only http and https pass.
        with urllib.request.urlopen(address, timeout=_DISCOVERY_TIMEOUT_S) as response:  # noqa: S310
            found = json.loads(response.read(65536))
        api_address, ca_pem = str(found["api"]), str(found["ca_pem"])
        der = ssl.PEM_cert_to_DER_cert(ca_pem)
    except urllib.error.HTTPError as error:
        raise ClientError(
            Failure.FAILED, f"{address} answers {error.code}.", "Is this a fleet's address?"
        ) from error
    except OSError as error:
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        raise ClientError(
            Failure.UNREACHABLE,
            f"The fleet at {profile.url} does not answer: {reason}.",
            "Is `poleward fleet serve` running there?",
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise ClientError(
            Failure.FAILED, f"{address} is not what a fleet answers.", "Check the address."
        ) from error
    if not hmac.compare_digest(hashlib.sha256(der).hexdigest()[:32], profile.ca_fingerprint):
        raise ClientError(
            Failure.REFUSED,
            f"{profile.url} shows another CA certificate than the token names.",
            "Do not go on: check the address, or get a token of this fleet.",
        )
    return api_address, ca_pem.encode()


class _BearerToken(grpc.AuthMetadataPlugin):
    """Adds the token to each call; gRPC sends it over TLS only."""

    def __init__(self, token: str) -> None:
        self._metadata = (("authorization", f"Bearer {token}"),)

    def __call__(
        self, context: grpc.AuthMetadataContext, callback: grpc.AuthMetadataPluginCallback
    ) -> None:
        callback(self._metadata, None)


def open_channel(api_address: str, ca_pem: bytes, token: str) -> grpc.Channel:
    """Open a channel on which every call carries the token; the caller closes it."""
    credentials = grpc.composite_channel_credentials(
        grpc.ssl_channel_credentials(root_certificates=ca_pem),
        grpc.metadata_call_credentials(_BearerToken(token)),
    )
    options = [
        ("grpc.max_receive_message_length", _MESSAGE_MAX_BYTES),
        ("grpc.enable_http_proxy", 0),
    ]
    return grpc.secure_channel(api_address, credentials, options)
