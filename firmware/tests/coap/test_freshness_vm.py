"""Freshness by Echo (RFC 8613, B.1.2 and 7.3; RFC 9175, 2); on both Pythons."""

from vm.fake_network import FakeTransport, run_until_done, settle
from vm.two_endpoints import SALT, SECRET, Pair

from node.coap.message import CHANGED, CONTENT, POST, UNAUTHORIZED, Response
from node.oscore.context import SecurityContext


def test_after_a_reboot_the_first_request_must_prove_to_be_fresh():
    async def test(pair):
        restored = SecurityContext(SECRET, SALT, b"\x00", b"\x01", sequence=64, is_restored=True)
        pair.server.remove_context(pair.server_context)
        pair.server.add_context(restored)
        response = await run_until_done(pair.network, pair.request(POST, ("lamp",), payload=b"1"))
        assert response.code == CONTENT
        assert len(pair.requests) == 1
        assert pair.requests[0].is_fresh
        assert len(pair.network.log) == 4
        # What was recorded before is of no use to anybody now.
        raw = FakeTransport(pair.network, "raw")
        for index in (0, 2):
            datagram = bytearray(pair.network.log[index][3])
            datagram[3] ^= 0x55
            raw.send(datagram, "server")
        await settle()
        assert len(pair.requests) == 1
        await run_until_done(pair.network, pair.request(POST, ("lamp",), payload=b"2"))
        assert len(pair.requests) == 2
        assert not pair.requests[1].is_fresh

    Pair().run(test)


def test_a_handler_may_ask_for_freshness():
    async def test(pair):
        async def command(request):
            return Response(CHANGED) if request.is_fresh else pair.server.challenge(request)

        pair.handler = command
        response = await run_until_done(pair.network, pair.request(POST, ("3416", "0")))
        assert response.code == CHANGED
        assert [request.is_fresh for request in pair.requests] == [False, True]

    Pair().run(test)


def test_an_old_echo_value_proves_nothing():
    async def test(pair):
        echoes = []

        async def command(request):
            if request.is_fresh:
                return Response(CHANGED)
            response = pair.server.challenge(request)
            echoes.append(response.options[0][1])
            return response

        pair.handler = command
        # Held up on the way for longer than a value is good for; the client gives up after one.
        pair.network.rule = lambda source, destination, datagram: (
            [61_000] if source == "client" and echoes else [0]
        )
        response = await run_until_done(pair.network, pair.request(POST, ("lamp",)))
        assert response.code == UNAUTHORIZED
        assert len(echoes) >= 2
        assert echoes[0] != echoes[-1]

    Pair().run(test)
