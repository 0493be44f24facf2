"""Client-initiated bootstrap (OMA LwM2M TS Core 1.1, 6.1): collects an account from the gateway.

Not the registration. Imported when it is needed and dropped afterwards.
"""

import asyncio

from micropython import const

from node.coap import message
from node.lwm2m import values
from node.lwm2m.objects import oscore, security, server

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_FINISH_TIMEOUT_MS = const(60000)
# The answer to the finish request may have to be repeated; the endpoint remembers it that long.
_LINGER_MS = const(1500)
_INSTANCES_MAX = const(8)


class BootstrapError(Exception):
    """No account came out of it; `args[0]` says why."""


class Bootstrap:
    """One bootstrap in progress: its `handle` serves the gateway's writes until it finishes."""

    def __init__(self) -> None:
        self._tables = {
            security.ID: security.TABLE,
            server.Server.ID: server.Server.TABLE,
            oscore.ID: oscore.TABLE,
        }
        self._instances: dict[tuple[int, int], dict[int, Any]] = {}
        self._finished = asyncio.Event()
        self.account: dict[str, Any] | None = None

    async def run(
        self, endpoint: "Any", address: "Any", context: "Any", endpoint_name: str
    ) -> "dict[str, Any]":
        """Ask for bootstrap and wait until the gateway finished it.

        Returns:
            The arguments of `Account.replace`.

        Raises:
            BootstrapError: Try again later.
            RequestError: As `endpoint.request` does.
        """
        response = await endpoint.request(
            address, context, message.POST, ("bs",), query=("ep=" + endpoint_name, "pct=112")
        )
        if response.code != message.CHANGED:
            raise BootstrapError("refused: %d.%02d" % (response.code >> 5, response.code & 31))
        try:
            await asyncio.wait_for_ms(self._finished.wait(), _FINISH_TIMEOUT_MS)
        except asyncio.TimeoutError:
            raise BootstrapError("not finished in time")
        await asyncio.sleep_ms(_LINGER_MS)
        if self.account is None:
            raise BootstrapError("no account")
        return self.account

    async def handle(self, request: "Any") -> "message.Response":
        """Serve a bootstrap request (6.1.7); never raises but for cancellation."""
        if request.context is None:
            return message.Response(message.UNAUTHORIZED)
        try:
            if request.path == ("bs",) and request.code == message.POST:
                return self._finish()
            path = values.ids(request.path)
            if request.code == message.DELETE and len(path) <= 2:
                for key in list(self._instances):
                    if key[: len(path)] == path:
                        del self._instances[key]
                return message.Response(message.DELETED)
            if request.code == message.PUT and path:
                self._put(path, request)
                return message.Response(message.CHANGED)
        except values.UnsupportedFormatError:
            return message.Response(message.UNSUPPORTED_FORMAT)
        except values.BadValueError as error:
            return message.Response(message.BAD_REQUEST, error.args[0].encode())
        return message.Response(message.METHOD_NOT_ALLOWED)

    def _put(self, path: "tuple[int, ...]", request: "Any") -> None:
        writes = values.read_writes(path, request.content_format, request.payload)
        for target, encoding, raw in writes:
            table = self._tables.get(target[0])
            if table is None or target[2] not in table:
                continue  # 6.1.7.3: what the client does not know it may ignore
            value = values.convert(table[target[2]][-1], encoding, raw)
            key = (target[0], target[1])
            instance = self._instances.get(key)
            if instance is None:
                if len(self._instances) >= _INSTANCES_MAX:
                    raise values.BadValueError("too many instances")
                instance = self._instances[key] = {}
            instance[target[2]] = value

    def _finish(self) -> "message.Response":
        try:
            self.account = self._assemble()
        except (KeyError, ValueError) as error:
            # 6.1.7.6: 4.06 when what was written does not make a configuration.
            return message.Response(message.NOT_ACCEPTABLE, str(error).encode())
        self._finished.set()
        return message.Response(message.CHANGED)

    def _assemble(self) -> "dict[str, Any]":
        """Put the account together; KeyError or ValueError when something is missing or wrong."""
        for (object_id, _), found in self._instances.items():
            if object_id != security.ID or found.get(security.IS_BOOTSTRAP):
                continue
            link = found[security.OSCORE_LINK].split(":")
            keys = self._instances[(int(link[0]), int(link[1]))]
            short_server_id = found[security.SHORT_SERVER_ID]
            secret = keys[oscore.MASTER_SECRET]
            if len(secret) < 16:
                raise ValueError("secret too short")
            values.parse_uri(found[security.SERVER_URI])
            settings = self._settings(short_server_id)
            return {
                "uri": found[security.SERVER_URI],
                "short_server_id": short_server_id,
                "lifetime_s": settings[1],
                # OMA LwM2M TS Core 1.1, E.2: absent means muted.
                "is_send_muted": settings.get(23, True),
                "secret": secret,
                "salt": keys.get(oscore.MASTER_SALT, b""),
                "sender_id": keys[oscore.SENDER_ID],
                "recipient_id": keys[oscore.RECIPIENT_ID],
            }
        raise ValueError("no server in object 0")

    def _settings(self, short_server_id: int) -> "dict[int, Any]":
        for (object_id, _), found in self._instances.items():
            if object_id == server.Server.ID and found.get(0) == short_server_id:
                return found
        raise ValueError("no instance of object 1 for the server")
