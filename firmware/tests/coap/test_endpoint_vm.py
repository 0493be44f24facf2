"""The endpoint's exchanges under loss, duplication and bad input; on both Pythons."""

import asyncio

from vm.fake_network import FakeTransport, Started, advance, run_until_done, settle
from vm.two_endpoints import SALT, SECRET, Pair

from node.coap import message
from node.coap.client import RequestAborted, RequestReset, RequestTimeout
from node.coap.message import CHANGED, CONTENT, GET, POST, UNAUTHORIZED, Response
from node.oscore.context import SecurityContext


async def raised(network, coroutine):
    """Return the class of what the coroutine raises."""
    try:
        await run_until_done(network, coroutine)
    except Exception as error:
        return type(error)
    raise AssertionError("nothing raised")


def kinds(datagrams):
    return [datagram[0] >> 4 & 3 for datagram in datagrams]


def test_a_protected_request_is_answered():
    async def test(pair):
        response = await run_until_done(
            pair.network,
            pair.request(
                POST, ("rd", "7"), query=("lt=300",), payload=b"hello", content_format=112, accept=0
            ),
        )
        assert (response.code, response.payload) == (CONTENT, b"hello")
        assert response.content_format == 112
        assert response.is_protected
        request = pair.requests[0]
        assert request.path == ("rd", "7")
        assert request.query == ("lt=300",)
        assert request.accept == 0
        assert request.context is pair.server_context
        assert len(pair.network.log) == 2
        for datagram in pair.network.sent_by("client") + pair.network.sent_by("server"):
            assert b"hello" not in datagram

    Pair().run(test)


def test_a_request_may_have_a_token_of_another_length():
    async def test(pair):
        response = await run_until_done(
            pair.network, pair.request(GET, ("3", "0"), payload=b"x", token_bytes=8)
        )
        assert response.code == CONTENT
        assert pair.network.sent_by("client")[0][0] & 15 == 8

    Pair().run(test)


def test_a_plain_request_is_refused_except_discovery():
    async def test(pair):
        response = await run_until_done(
            pair.network, pair.client.request("server", None, GET, ("3", "0"))
        )
        assert response.code == UNAUTHORIZED
        assert response.payload == b""
        assert pair.requests == []
        response = await run_until_done(
            pair.network, pair.client.request("server", None, GET, (".well-known", "core"))
        )
        assert response.code == CONTENT
        assert pair.requests[0].context is None

    Pair().run(test)


def test_a_plain_request_is_served_where_that_is_allowed():
    async def test(pair):
        response = await run_until_done(
            pair.network, pair.client.request("server", None, POST, ("3",), payload=b"x")
        )
        assert (response.code, response.payload) == (CONTENT, b"x")

    Pair(accepts_plain=True).run(test)


def test_a_lost_request_is_repeated_and_served_once():
    async def test(pair):
        lost = [1, 1]
        pair.network.rule = lambda source, destination, datagram: (
            [] if source == "client" and lost and lost.pop() else [0]
        )
        response = await run_until_done(pair.network, pair.request(GET, ("a",)))
        assert response.code == CONTENT
        assert len(pair.requests) == 1
        sent = pair.network.sent_by("client")
        assert len(sent) == 3
        assert sent[0] == sent[1] == sent[2]

    Pair().run(test)


def test_a_lost_answer_is_repeated_without_serving_twice():
    async def test(pair):
        lost = [1]
        pair.network.rule = lambda source, destination, datagram: (
            [] if source == "server" and lost and lost.pop() else [0]
        )
        response = await run_until_done(pair.network, pair.request(GET, ("a",)))
        assert response.code == CONTENT
        assert len(pair.requests) == 1
        sent = pair.network.sent_by("server")
        assert len(sent) == 2
        assert sent[0] == sent[1]

    Pair().run(test)


def test_doubled_and_late_datagrams_change_nothing():
    async def test(pair):
        pair.network.rule = lambda source, destination, datagram: [0, 10, 3000]
        for number in range(5):
            response = await run_until_done(
                pair.network, pair.request(POST, ("a",), payload=bytes((number,)))
            )
            assert response.payload == bytes((number,))
        await advance(pair.network, 10_000)
        assert [request.payload[0] for request in pair.requests] == [0, 1, 2, 3, 4]

    Pair().run(test)


def test_nobody_answers_and_the_request_times_out_after_four_retransmissions():
    async def test(pair):
        pair.network.rule = lambda source, destination, datagram: []
        assert await raised(pair.network, pair.request(GET, ("a",))) is RequestTimeout
        times = [time for time, _, _, _ in pair.network.log]
        assert len(times) == 5
        first = times[1] - times[0]
        assert 2000 <= first <= 3000
        # RFC 7252, 4.2: the timeout doubles each time.
        gaps = [later - earlier for earlier, later in zip(times, times[1:])]
        assert gaps == [first, 2 * first, 4 * first, 8 * first]
        assert pair.clock.now <= 93_000

    Pair().run(test)


def test_a_request_ends_at_its_own_timeout():
    async def test(pair):
        pair.network.rule = lambda source, destination, datagram: []
        request = pair.request(GET, ("a",), timeout_ms=5000)
        assert await raised(pair.network, request) is RequestTimeout
        assert 5000 <= pair.clock.now < 5100
        sent = len(pair.network.log)
        await advance(pair.network, 100_000)
        assert len(pair.network.log) == sent

    Pair().run(test)


def test_a_non_confirmable_request_is_sent_once():
    async def test(pair):
        response = await run_until_done(pair.network, pair.request(GET, ("a",), confirmable=False))
        assert response.code == CONTENT
        assert kinds(pair.network.sent_by("client")) == [1]
        assert kinds(pair.network.sent_by("server")) == [1]

    Pair().run(test)


def test_a_slow_handler_is_acknowledged_first_and_answers_separately():
    async def test(pair):
        gate = asyncio.Event()

        async def slow(request):
            await gate.wait()
            return Response(CHANGED)

        pair.handler = slow
        task = Started(pair.request(POST, ("a",)))
        await advance(pair.network, 10_000)
        assert kinds(pair.network.sent_by("server")) == [2]
        assert pair.network.sent_by("server")[0][1] == message.EMPTY
        gate.set()
        await settle()
        response = await run_until_done(pair.network, task)
        assert response.code == CHANGED
        assert kinds(pair.network.sent_by("server")) == [2, 0]
        assert kinds(pair.network.sent_by("client")) == [0, 2]
        assert len(pair.requests) == 1

    Pair().run(test)


def test_a_repeated_separate_answer_is_acknowledged_again():
    async def test(pair):
        async def slow(request):
            await pair.clock.wait(asyncio.Event(), 2000)
            return Response(CHANGED)

        pair.handler = slow
        lost = [1]

        def lose_first_acknowledgement(source, destination, datagram):
            if source == "client" and datagram[0] >> 4 & 3 == 2 and lost:
                lost.pop()
                return []
            return [0]

        pair.network.rule = lose_first_acknowledgement
        response = await run_until_done(pair.network, pair.request(POST, ("a",)))
        assert response.code == CHANGED
        await advance(pair.network, 10_000)
        assert kinds(pair.network.sent_by("server")) == [2, 0, 0]
        assert kinds(pair.network.sent_by("client")) == [0, 2, 2]

    Pair().run(test)


def test_a_duplicate_of_a_request_under_way_is_acknowledged():
    async def test(pair):
        gate = asyncio.Event()

        async def slow(request):
            await gate.wait()
            return Response(CHANGED)

        pair.handler = slow
        pair.network.rule = lambda source, destination, datagram: (
            [0, 100] if source == "client" else [0]
        )
        task = Started(pair.request(POST, ("a",)))
        await advance(pair.network, 200)
        assert kinds(pair.network.sent_by("server")) == [2]
        gate.set()
        response = await run_until_done(pair.network, task)
        assert response.code == CHANGED
        assert len(pair.requests) == 1

    Pair().run(test)


def test_a_handler_that_fails_is_answered_with_internal_error():
    async def test(pair):
        async def broken(request):
            raise ValueError("expected in this test")

        pair.handler = broken
        response = await run_until_done(pair.network, pair.request(GET, ("a",)))
        assert response.code == message.INTERNAL_ERROR

    Pair().run(test)


def test_a_fifth_request_at_a_time_waits_for_its_repetition():
    async def test(pair):
        gate = asyncio.Event()

        async def slow(request):
            await gate.wait()
            return Response(CHANGED)

        pair.handler = slow
        tasks = [Started(pair.request(POST, (str(n),))) for n in range(5)]
        await advance(pair.network, 100)
        assert len(pair.requests) == 4
        gate.set()
        for task in tasks:
            response = await run_until_done(pair.network, task)
            assert response.code == CHANGED
        assert len(pair.requests) == 5

    Pair().run(test)


def test_a_ninth_request_under_way_is_refused():
    async def test(pair):
        pair.network.rule = lambda source, destination, datagram: []
        tasks = [Started(pair.request(GET, ("a",))) for _ in range(8)]
        await settle()
        assert await raised(pair.network, pair.request(GET, ("a",))) is RequestAborted
        pair.client.remove_context(pair.context)
        for task in tasks:
            assert await raised(pair.network, task) is RequestAborted

    Pair().run(test)


def test_an_unknown_context_a_forgery_and_a_replay_are_refused_in_the_clear():
    async def test(pair):
        stranger = SecurityContext(SECRET, SALT, b"\x07", b"\x00")
        request = pair.client.request("server", stranger, GET, ("a",))
        response = await run_until_done(pair.network, request)
        assert response.code == UNAUTHORIZED
        assert not response.is_protected
        assert response.payload == b"Security context not found"
        forger = SecurityContext(bytes(16), SALT, b"\x01", b"\x00")
        request = pair.client.request("server", forger, GET, ("a",))
        response = await run_until_done(pair.network, request)
        assert response.code == message.BAD_REQUEST
        await run_until_done(pair.network, pair.request(GET, ("a",)))
        datagram = bytearray(pair.network.sent_by("client")[-1])
        datagram[3] ^= 0x55  # another message ID: no duplicate for the message layer
        raw = FakeTransport(pair.network, "raw")
        raw.send(datagram, "server")
        await settle()
        _, answer = raw.take()
        parsed = message.decode(memoryview(answer))
        assert parsed.code == UNAUTHORIZED
        assert bytes(parsed.payload) == b"Replay detected"
        assert len(pair.requests) == 1

    Pair().run(test)


def test_two_contexts_may_share_a_kid():
    async def test(pair):
        other = SecurityContext(bytes(16), SALT, b"\x01", b"\x00")
        other_side = SecurityContext(bytes(16), SALT, b"\x00", b"\x01")
        pair.server.add_context(other_side)
        for ours, theirs in ((pair.context, pair.server_context), (other, other_side)):
            request = pair.client.request("server", ours, GET, ("a",))
            response = await run_until_done(pair.network, request)
            assert response.code == CONTENT
            assert pair.requests[-1].context is theirs

    Pair().run(test)


def test_a_reset_ends_the_request():
    async def test(pair):
        raw = FakeTransport(pair.network, "raw")
        task = Started(pair.client.request("raw", pair.context, GET, ("a",)))
        await settle()
        _, datagram = raw.take()
        raw.send(b"\x70\x00" + datagram[2:4], "client")
        assert await raised(pair.network, task) is RequestReset

    Pair().run(test)


def test_a_forged_answer_is_ignored_and_the_true_one_taken():
    async def test(pair):
        raw = FakeTransport(pair.network, "raw")
        task = Started(pair.client.request("raw", pair.context, GET, ("a",)))
        await settle()
        _, datagram = raw.take()
        token = datagram[4:6]
        # A plain 2.05, a protected one with a wrong tag, another token.
        raw.send(b"\x52\x45\x00\x01" + token + b"\xfffake", "client")
        raw.send(b"\x52\x44\x00\x02" + token + b"\x90\xff" + bytes(20), "client")
        raw.send(b"\x52\x44\x00\x03" + b"zz" + b"\x90\xff" + bytes(20), "client")
        await settle()
        pair.network.send("raw", "server", datagram)
        await settle()
        _, answer = raw.take()
        raw.send(answer, "client")
        response = await run_until_done(pair.network, task)
        assert response.code == CONTENT

    Pair().run(test)


def test_a_ping_and_a_malformed_confirmable_message_are_reset():
    async def test(pair):
        raw = FakeTransport(pair.network, "raw")
        for datagram in (b"\x40\x00\x12\x34", b"\x49\x01\x12\x34", b"\x40\x01\x12\x34\xff"):
            raw.send(datagram, "server")
            await settle()
            assert raw.take()[1] == b"\x70\x00\x12\x34"
        for datagram in (
            b"",
            b"\x40",
            b"\x50\x00\x12\x34",
            b"\x60\x00\x12\x34",
            b"\x51\x01\x00\x00",
        ):
            raw.send(datagram, "server")
            await settle()
            assert raw.take() is None

    Pair().run(test)


def test_an_unknown_critical_option_is_refused():
    async def test(pair):
        raw = FakeTransport(pair.network, "raw")
        # If-None-Match (5) is critical and not for us.
        raw.send(b"\x40\x01\x12\x34\x50", "server")
        await settle()
        assert raw.take()[1][1] == message.BAD_OPTION

    Pair(accepts_plain=True).run(test)


def test_no_garbage_makes_the_endpoint_fail():
    async def test(pair):
        await run_until_done(pair.network, pair.request(POST, ("a", "b"), payload=b"x" * 30))
        samples = [bytes(datagram) for _, _, _, datagram in pair.network.log]
        raw = FakeTransport(pair.network, "raw")
        noise = pair.client._server._random_bytes
        for round_number in range(400):
            sample = bytearray(samples[round_number % len(samples)])
            choice = noise(1)[0] % 3
            if choice == 0:
                sample = sample[: noise(1)[0] % (len(sample) + 1)]
            elif choice == 1:
                sample[noise(1)[0] % len(sample)] ^= 1 << noise(1)[0] % 8
            else:
                sample = noise(noise(1)[0] % 64)
            for destination in ("server", "client"):
                raw.send(sample, destination)
            await settle()
            while raw.take() is not None:
                pass
            pair.network.log.clear()
        pair.requests.clear()
        response = await run_until_done(pair.network, pair.request(GET, ("still",)))
        assert response.code == CONTENT

    Pair().run(test)


def test_nothing_is_kept_when_exchanges_are_over():
    async def test(pair):
        for number in range(60):
            await run_until_done(pair.network, pair.request(GET, (str(number),)))
            pair.network.log.clear()
        assert pair.client._client._pending == []
        assert pair.client._outbox._waiting == []
        assert pair.server._server._serving == []
        assert pair.server._server._tasks == []
        assert len(pair.server._server._duplicates._received) == 16
        await advance(pair.network, 400_000)
        assert pair.server._server._duplicates._received == []

    Pair().run(test)


def test_a_stranger_cannot_use_up_a_message_id():
    async def test(pair):
        first = pair.client._outbox._next_message_id
        for message_id in range(first + 1, first + 4):
            # In the peer's name, before the peer sends it: plain, and under OSCORE with garbage.
            identifier = bytes((message_id >> 8 & 0xFF, message_id & 0xFF))
            for rest in (b"", b"\x92\x09\x00\xff" + bytes(20)):
                pair.network.send("client", "server", b"\x40\x02" + identifier + rest)
        await settle()
        response = await run_until_done(pair.network, pair.request(GET, ("a",)))
        assert response.code == CONTENT

    Pair().run(test)
