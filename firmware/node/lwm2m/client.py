"""Keeps the node registered: bootstrap, register, update, register again, in the right order.

Not the objects' requests, which the dispatcher serves, and not the reports.
"""

import asyncio

from micropython import const

from node.coap import message
from node.coap.client import TOKEN_BYTES, RequestAborted, RequestError
from node.codec.link_format import links
from node.lwm2m import values
from node.lwm2m.account import read_blob, read_integer
from node.lwm2m.back_off import BackOff
from node.oscore.context import OscoreError
from node.passing import drop
from nodelink.limits import URGENT_TOKEN_BYTES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

_REQUEST_TIMEOUT_MS = const(40000)
_FAREWELL_TIMEOUT_MS = const(5000)
# Anybody can forge one unprotected refusal; so many in a row mean that our context is lost.
_REFUSALS_MAX = const(3)
# With the time-outs of requests about four minutes.
_SILENCES_MAX = const(4)
# A node without an account that got power just now is being put into a pole.
_NEW_S = const(3600)
_NEW_PAUSE_MS = const(4000)


class NotRegisteredError(Exception):
    """There is no registration now; wait for `Client.registered`."""


class Client:
    """The node's side of the registration interface (OMA LwM2M TS Core 1.1, 6.2).

    - Without an account it bootstraps under the factory identity; so it does when the gateway
      refused the account's context three times in a row or asked for it (1/0/9). It asks at its
      gateway first, which may hand it over to another one, then at those that the factory named.
    - A gateway that stays silent may have been replaced: after some attempts it asks the factory's.
    - It updates at about half of the lifetime, and registers again when an update is answered 4.04.
    - A silent gateway ends the session: new socket, back-off with jitter from 1 s to 64 s.

    Args:
        board: For network, storage and random numbers.
        account: As `node.lwm2m.account` keeps it.
        dispatcher: Serves requests while the node has an account.
        make_endpoint: `make_endpoint(transport, handler)` gives a CoAP endpoint.
        make_context: A `node.oscore.context.SecurityContext` class.
    """

    def __init__(
        self,
        board: "Any",
        account: "Any",
        dispatcher: "Any",
        make_endpoint: "Callable[[Any, Any], Any]",
        make_context: "Callable[..., Any]",
    ) -> None:
        self._board = board
        self._account = account
        self._dispatcher = dispatcher
        self._make_endpoint = make_endpoint
        self._make_context = make_context
        self._identity = board.open_nvs("identity")
        self.endpoint_name = "urn:dev:mac:" + read_blob(self._identity, "mac").hex()
        self.registered = asyncio.Event()
        self.has_registered = False
        self.registered_at_s = 0
        self._wake = asyncio.Event()
        self._hurry = asyncio.Event()
        self._wants_bootstrap = not account.is_complete
        self._refusals = 0
        self._silences = 0
        self._bootstraps = 0
        self._back_off = BackOff(board.random_bytes)
        self._endpoint: Any = None
        self._is_served = False
        self._address: Any = None
        self._context: Any = None
        self._bootstrap_context: Any = None

    async def run(self) -> None:
        """Keep the node registered until cancelled."""
        while True:
            try:
                await self._board.connect()
                if self._wants_bootstrap:
                    await self._bootstrap()
                await self._session()
            except OscoreError as error:
                print("keys used up:", repr(error))
                self._wants_bootstrap = True
            except (RequestError, OSError) as error:
                print("link lost:", repr(error))
                self._silences += 1
                self._wants_bootstrap = (
                    not self._account.is_complete or self._silences % _SILENCES_MAX == 0
                )
            except Exception as error:
                # BootstrapError lives in a module that is not loaded otherwise.
                if type(error).__name__ != "BootstrapError":
                    raise
                print("bootstrap failed:", error.args[0])
                # An account that was refused may be accepted again, for instance after a restore.
                self._wants_bootstrap = not self._account.is_complete
            self._hurry.clear()
            try:
                await asyncio.wait_for_ms(self._hurry.wait(), self._pause_ms())
            except asyncio.TimeoutError:
                pass

    def hurry(self) -> None:
        """Look for the gateway again at once: somebody called for help."""
        self._back_off.reset()
        self._hurry.set()

    def _pause_ms(self) -> int:
        """Give the pause before the next attempt; short while a technician may be waiting."""
        pause_ms = self._back_off.next_ms()
        is_new = not self._account.is_complete and self._board.monotonic_s() < _NEW_S
        return min(pause_ms, _NEW_PAUSE_MS) if is_new else pause_ms

    def update(self) -> None:
        """Have the registration updated now: the link is in doubt, or the gateway asked."""
        self._wake.set()

    def bootstrap_again(self) -> None:
        """Leave the registration and bootstrap: the gateway asked."""
        self._wants_bootstrap = True
        self._wake.set()

    def forget(self) -> None:
        """Forget the account: the node was taken out of service. It asks for another one."""
        self._account.forget()
        self.bootstrap_again()

    async def request(
        self,
        path: "tuple[str, ...]",
        payload: "bytes | memoryview",
        content_format: int,
        is_urgent: bool = False,
    ) -> "message.Response":
        """POST to the gateway under the registration, ahead of other nodes' reports if urgent.

        Raises:
            NotRegisteredError: Wait for `registered`.
            RequestError: Nobody answered.
        """
        if not self.registered.is_set():
            raise NotRegisteredError()
        response: message.Response = await self._endpoint.request(
            self._address,
            self._context,
            message.POST,
            path,
            payload=payload,
            content_format=content_format,
            timeout_ms=_REQUEST_TIMEOUT_MS,
            token_bytes=URGENT_TOKEN_BYTES if is_urgent else TOKEN_BYTES,
        )
        return response

    async def download(self, path: "tuple[str, ...]", sink: "Any", start_block: int) -> int:
        """Fetch a resource of the gateway block by block; see `Endpoint.download`."""
        if not self.registered.is_set():
            raise NotRegisteredError()
        blocks: int = await self._endpoint.download(
            self._address, self._context, path, sink, start_block=start_block
        )
        return blocks

    async def _bootstrap(self) -> None:
        from node.lwm2m.bootstrap import Bootstrap

        identity = self._identity
        if self._bootstrap_context is None:
            sequence = read_integer(identity, "sequence", 0)
            self._bootstrap_context = self._make_context(
                read_blob(identity, "bs_secret"),
                read_blob(identity, "bs_salt"),
                read_blob(identity, "mac"),
                b"\x00",
                sequence=sequence,
                store_sequence=self._store_bootstrap_sequence,
                is_restored=sequence > 0,
            )
        bootstrap = Bootstrap()
        context = self._bootstrap_context
        transport = running = None
        try:
            transport, address = self._open(self._next_gateway())
            endpoint = self._make_endpoint(transport, bootstrap.handle)
            endpoint.add_context(context)
            running = asyncio.create_task(self._serve(endpoint, context))
            account = await bootstrap.run(endpoint, address, context, self.endpoint_name)
        finally:
            await _end(running, transport)
            del Bootstrap, bootstrap
            drop("node.lwm2m", ("bootstrap",))
        self._account.replace(**account)
        self._context = None
        self._wants_bootstrap = False
        self._refusals = self._silences = self._bootstraps = 0
        print("bootstrapped")

    def _next_gateway(self) -> str:
        """Choose whom to ask for an account: the present gateway unless silent, the factory's."""
        known: list[str] = read_blob(self._identity, "gateway").decode().split()
        if self._account.uri and not self._silences:
            known.insert(0, self._account.uri)
        self._bootstraps += 1
        return known[(self._bootstraps - 1) % len(known)]

    async def _session(self) -> None:
        account = self._account
        if self._context is None:
            self._context = self._make_context(
                account.secret,
                account.salt,
                account.sender_id,
                account.recipient_id,
                sequence=account.sequence,
                store_sequence=account.store_sequence,
                is_restored=account.sequence > 0,
            )
        running = transport = None
        try:
            transport, self._address = self._open(account.uri)
            self._endpoint = self._make_endpoint(transport, self._dispatcher.handle)
            self._dispatcher.attach(self._endpoint)
            self._endpoint.add_context(self._context)
            running = asyncio.create_task(self._serve(self._endpoint, self._context))
            while not self._wants_bootstrap:
                if not await self._register():
                    return
                await self._stay_registered()
        finally:
            self.registered.clear()
            await _end(running, transport)

    async def _serve(self, endpoint: "Any", context: "Any") -> None:
        """Run an endpoint; when it fails, end the requests that wait for it, and the session."""
        self._is_served = True
        try:
            await endpoint.run()
        except Exception as error:
            print("endpoint failed:", repr(error))
        finally:
            self._is_served = False
            endpoint.remove_context(context)
            self._wake.set()

    async def _register(self) -> bool:
        """Register once; tell whether it worked."""
        account = self._account
        response = await self._endpoint.request(
            self._address,
            self._context,
            message.POST,
            ("rd",),
            query=("ep=" + self.endpoint_name, "lt=%d" % account.lifetime_s, "lwm2m=1.1", "b=U"),
            payload=links(self._dispatcher.links()),
            content_format=values.FORMAT_LINK,
            timeout_ms=_REQUEST_TIMEOUT_MS,
        )
        if response.code != message.CREATED:
            print("registration refused: %d.%02d" % (response.code >> 5, response.code & 31))
            # 4.01 says that the gateway has no such context, 4.00 that ours does not fit (RFC 8613,
            # 8.2): the keys were changed while the node was away.
            if response.code in (message.UNAUTHORIZED, message.BAD_REQUEST):
                self._refusals += 1
                self._wants_bootstrap = self._refusals >= _REFUSALS_MAX
            return False
        self._refusals = self._silences = 0
        self._location = response.location
        self._back_off.reset()
        self.has_registered = True
        self.registered_at_s = self._board.monotonic_s()
        self.registered.set()
        print("registered at", "/".join(response.location))
        return True

    async def _stay_registered(self) -> None:
        """Update the registration; return when the gateway does not know it any more."""
        while True:
            # Half of the lifetime, up to an eighth earlier: a street must not speak at once.
            lifetime_ms = self._account.lifetime_s * 1000
            jitter_ms = lifetime_ms // 8 * int(self._board.random_bytes(1)[0]) // 255
            lifetime_s = self._account.lifetime_s
            try:
                await asyncio.wait_for_ms(self._wake.wait(), lifetime_ms // 2 - jitter_ms)
            except asyncio.TimeoutError:
                pass
            self._wake.clear()
            if not self._is_served:
                raise RequestAborted()
            if self._wants_bootstrap:
                await self._deregister()
                return
            changed = self._account.lifetime_s
            response = await self._endpoint.request(
                self._address,
                self._context,
                message.POST,
                self._location,
                query=() if changed == lifetime_s else ("lt=%d" % changed,),
                timeout_ms=_REQUEST_TIMEOUT_MS,
            )
            if response.code != message.CHANGED:
                self.registered.clear()
                return

    async def _deregister(self) -> None:
        """Say good-bye; the gateway not answering is no problem."""
        self.registered.clear()
        try:
            await self._endpoint.request(
                self._address,
                self._context,
                message.DELETE,
                self._location,
                timeout_ms=_FAREWELL_TIMEOUT_MS,
            )
        except RequestError:
            pass

    def _open(self, uri: str) -> "tuple[Any, Any]":
        host, port = values.parse_uri(uri)
        opened: tuple[Any, Any] = self._board.open_transport(host, port)
        return opened

    def _store_bootstrap_sequence(self, sequence: int) -> None:
        self._identity.set_i32("sequence", sequence)
        self._identity.commit()


async def _end(running: "Any", transport: "Any") -> None:
    """Cancel and await an endpoint's task, then give its socket back."""
    if running is not None:
        running.cancel()
        try:
            await running
        except asyncio.CancelledError:
            pass
    if transport is not None:
        transport.close()
