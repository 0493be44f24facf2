"""Gives nodes their operational keys (OMA LwM2M TS Core 1.1, 6.1) under their bootstrap context.

Not the making of the keys: they come with the desired state.
"""

import structlog
from aiocoap.message import Message
from aiocoap.numbers import codes

from nodelink.limits import LIFETIME_S
from poleward_gateway.adapters.node_link import senml
from poleward_gateway.adapters.node_link.endpoint import NodeEndpoint
from poleward_gateway.adapters.node_link.security import Context
from poleward_gateway.adapters.node_link.senml import SENML_CBOR, ObjectLink, Value
from poleward_gateway.domain.errors import NodeError
from poleward_gateway.domain.nodes import DesiredNode

_log = structlog.get_logger(__name__)

SHORT_SERVER_ID = 1
_INSTANCE = 1
"""Instance of objects 0 and 21 for this gateway; instance 0 is the node's bootstrap account."""
_SECURITY_MODE_NONE = 3
"""No transport security; OSCORE is what link 0/x/17 says."""


async def bootstrap(
    endpoint: NodeEndpoint, context: Context, desired: DesiredNode, gateway_uri: str
) -> bool:
    """Write a node's accounts and finish; False when the node did not take them.

    A node keeps what it had until the finish, so an attempt that breaks is simply made again when
    the node asks again.
    """
    keys = desired.operational
    security: list[tuple[str, Value]] = [
        ("0", gateway_uri),
        ("1", False),
        ("2", _SECURITY_MODE_NONE),
        ("10", SHORT_SERVER_ID),
        ("17", ObjectLink(f"21:{_INSTANCE}")),
    ]
    # 21/x/4 (HMAC) is left out: it is the default, and readings of its numbering differ.
    oscore: list[tuple[str, Value]] = [
        ("0", keys.master_secret),
        ("1", keys.node_id),
        ("2", keys.gateway_id),
        ("5", keys.master_salt),
    ]
    server: list[tuple[str, Value]] = [
        ("0", SHORT_SERVER_ID),
        ("1", LIFETIME_S),
        ("6", True),
        ("7", "U"),
        ("23", False),
    ]
    writes = [
        (f"/0/{_INSTANCE}", security),
        (f"/21/{_INSTANCE}", oscore),
        ("/1/0", server),
    ]
    try:
        for path in ("0", "1", "21"):
            await endpoint.request(context, Message(code=codes.DELETE, uri_path=(path,)))
        for name, records in writes:
            request = Message(
                code=codes.PUT,
                uri_path=tuple(name.strip("/").split("/")),
                content_format=SENML_CBOR,
                payload=senml.encode(records, base_name=f"{name}/"),
            )
            await endpoint.request(context, request)
        await endpoint.request(context, Message(code=codes.POST, uri_path=("bs",)))
    except NodeError as error:
        _log.warning("bootstrap_failed", node=desired.number, error=str(error))
        return False
    _log.info("node_bootstrapped", node=desired.number)
    return True
