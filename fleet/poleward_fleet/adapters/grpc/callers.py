"""Who calls: a principal behind an API token, or a gateway behind a client certificate.

Not what they may do; the services check that.
"""

from typing import Any

import grpc
from cryptography import x509

from poleward_fleet.domain.accounts import Principal
from poleward_fleet.domain.errors import UnauthenticatedError
from poleward_fleet.domain.gateway_link import GatewayCertificate
from poleward_fleet.services.accounts import AccountService

_BEARER = "bearer "


async def principal_of(
    accounts: AccountService, context: grpc.aio.ServicerContext[Any, Any]
) -> Principal:
    """Return who an API call comes from.

    Raises:
        UnauthenticatedError: No token, or not a valid one.
    """
    for key, value in context.invocation_metadata() or ():
        if key == "authorization":
            text = value.decode() if isinstance(value, bytes) else value
            if text.lower().startswith(_BEARER):
                return await accounts.principal_of_api_token(text[len(_BEARER) :].strip())
    raise UnauthenticatedError("this call needs an API token: authorization: Bearer <token>")


def gateway_of(context: grpc.aio.ServicerContext[Any, Any]) -> GatewayCertificate:
    """Return the client certificate, which TLS has verified against our CA.

    Raises:
        UnauthenticatedError: There is none.
    """
    shown = context.auth_context()
    names, pems = list(shown.get("x509_common_name", ())), list(shown.get("x509_pem_cert", ()))
    if not names or not pems:
        raise UnauthenticatedError("this port needs a gateway's client certificate")
    serial = x509.load_pem_x509_certificate(pems[0]).serial_number
    return GatewayCertificate(names[0].decode(), f"{serial:x}")
