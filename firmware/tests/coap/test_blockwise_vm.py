"""Blockwise transfer between two endpoints, under loss and with bad peers; on both Pythons."""

from vm.fake_network import CountingRandom, FakeTransport, advance, run_until_done, settle
from vm.two_endpoints import Pair

from node.coap import blockwise, message
from node.coap.client import RequestRefused, RequestTimeout, TransferBroken
from node.coap.message import CONTENT, GET, POST, Response
from node.codec import options as coap_options


def pattern(size):
    made = bytearray(size)
    for index in range(size):
        made[index] = (index * 7 + index // 251) & 0xFF
    return made


class Sink:
    """Compares what `download` writes with what should come."""

    def __init__(self, whole=b""):
        self.whole = memoryview(whole)
        self.size = 0

    def write(self, view):
        assert view == self.whole[self.size : self.size + len(view)]
        self.size += len(view)


def losing(percent):
    """Make a rule that loses some of the datagrams, always the same ones."""
    noise = CountingRandom(3)
    return lambda source, destination, datagram: [] if noise(1)[0] * 100 < percent * 256 else [0]


async def raised(network, work):
    try:
        await run_until_done(network, work)
    except Exception as error:
        return error
    raise AssertionError("nothing raised")


def test_a_large_request_and_its_large_response_go_in_blocks():
    for size in (1024, 1025, 2048, 4000):

        async def test(pair, size=size):
            sent = pattern(size)
            response = await run_until_done(pair.network, pair.request(POST, ("a",), payload=sent))
            assert response.code == CONTENT
            assert response.payload == sent
            assert len(pair.requests) == 1
            for _, _, _, datagram in pair.network.log:
                assert len(datagram) <= 1152

        Pair().run(test)


def test_blocks_survive_loss():
    async def test(pair):
        pair.network.rule = losing(20)
        sent = pattern(4000)
        response = await run_until_done(pair.network, pair.request(POST, ("a",), payload=sent))
        assert response.payload == sent
        assert len(pair.requests) == 1

    Pair().run(test)


def test_an_upload_that_is_too_large_is_refused():
    async def test(pair):
        request = pair.request(POST, ("a",), payload=bytes(4097))
        response = await run_until_done(pair.network, request)
        assert response.code == message.TOO_LARGE
        assert pair.requests == []

    Pair().run(test)


def test_a_download_streams_into_the_sink():
    async def test(pair):
        whole = pattern(10_000)

        async def serve(request):
            return Response(CONTENT, whole, 42, [(coap_options.ETAG, b"v1")])

        pair.handler = serve
        pair.network.rule = losing(10)
        sink = Sink(whole)
        download = pair.client.download("server", pair.context, ("r", "ab"), sink)
        pair.network.log = None
        assert await run_until_done(pair.network, download) == 10_000
        assert sink.size == len(whole)

    Pair().run(test)


def test_a_download_of_one_block_needs_one_exchange():
    async def test(pair):
        async def serve(request):
            return Response(CONTENT, b"small")

        pair.handler = serve
        sink = Sink(b"small")
        download = pair.client.download("server", pair.context, ("r",), sink)
        assert await run_until_done(pair.network, download) == 5
        assert sink.size == 5
        assert len(pair.network.log) == 2

    Pair().run(test)


def test_an_interrupted_download_resumes_at_a_block():
    async def test(pair):
        whole = pattern(5000)

        async def serve(request):
            return Response(CONTENT, whole)

        pair.handler = serve
        sink = Sink(whole)
        allowed = [1] * 4  # two blocks, each asked for and answered
        pair.network.rule = lambda source, destination, datagram: (
            [0] if allowed and allowed.pop() else []
        )
        download = pair.client.download("server", pair.context, ("r",), sink)
        error = await raised(pair.network, download)
        assert isinstance(error, RequestTimeout)
        assert sink.size == 2048
        pair.network.rule = lambda source, destination, datagram: [0]
        download = pair.client.download("server", pair.context, ("r",), sink, start_block=2)
        assert await run_until_done(pair.network, download) == 5000
        assert sink.size == len(whole)

    Pair().run(test)


def test_a_resource_that_changes_under_a_download_breaks_it():
    async def test(pair):
        async def serve(request):
            pair.server._server._downloads.forget()
            etag = bytes((len(pair.requests),))
            return Response(CONTENT, pattern(3000), None, [(coap_options.ETAG, etag)])

        pair.handler = serve
        for make in (
            lambda: pair.client.download("server", pair.context, ("r",), Sink(pattern(3000))),
            lambda: pair.request(GET, ("r",)),
        ):
            original = pair.server._server._downloads.keep
            pair.server._server._downloads.keep = lambda key, response: None
            error = await raised(pair.network, make())
            assert isinstance(error, TransferBroken), error
            pair.server._server._downloads.keep = original

    Pair().run(test)


def test_a_download_in_tiny_blocks_is_broken_off():
    async def test(pair):
        async def serve(request):
            return Response(CONTENT, pattern(3000))

        pair.handler = serve
        slice_payload = blockwise.slice_payload
        for szx, is_broken in ((3, True), (4, False)):
            blockwise.slice_payload = lambda payload, number, _, szx=szx: slice_payload(
                payload, number, szx
            )
            download = pair.client.download("server", pair.context, ("r",), Sink(pattern(3000)))
            try:
                if is_broken:
                    error = await raised(pair.network, download)
                    assert isinstance(error, TransferBroken), error
                else:
                    assert await run_until_done(pair.network, download) == 3000
            finally:
                blockwise.slice_payload = slice_payload

    Pair().run(test)


def test_a_download_of_what_is_not_there_says_so():
    async def test(pair):
        async def serve(request):
            return Response(message.NOT_FOUND)

        pair.handler = serve
        download = pair.client.download("server", pair.context, ("r",), Sink())
        error = await raised(pair.network, download)
        assert isinstance(error, RequestRefused)
        assert error.args[0] == message.NOT_FOUND

    Pair().run(test)


def test_what_was_begun_is_forgotten_in_time():
    async def test(pair):
        async def serve(request):
            return Response(CONTENT, pattern(3000))

        pair.handler = serve
        options = [
            (coap_options.URI_PATH, b"a"),
            (coap_options.BLOCK1, blockwise.block_value(0, True, 6)),
        ]
        raw = FakeTransport(pair.network, "raw")
        raw.send(
            message.encode(bytearray(1280), 0, POST, 1, b"t", options, pattern(1024)), "server"
        )
        raw.send(message.encode(bytearray(64), 0, GET, 2, b"u", options[:1]), "server")
        await settle()
        server = pair.server._server
        assert len(server._uploads._data) == 1024
        assert server._downloads._response is not None
        await advance(pair.network, 200_000)
        assert len(server._uploads._data) == 0
        assert server._downloads._response is None

    Pair(accepts_plain=True).run(test)


def test_the_last_block_lets_the_response_go():
    async def test(pair):
        async def serve(request):
            return Response(CONTENT, pattern(3000))

        pair.handler = serve
        response = await run_until_done(pair.network, pair.request(GET, ("a",)))
        assert len(response.payload) == 3000
        assert pair.server._server._downloads._response is None

    Pair().run(test)
