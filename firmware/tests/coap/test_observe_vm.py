"""Observations: numbering, repetition, every way they end; on both Pythons."""

from vm.fake_network import FakeTransport, advance, run_until_done, settle
from vm.two_endpoints import Pair

from node.coap import message
from node.coap.message import CONTENT, GET, Response
from node.codec import options as coap_options
from node.oscore import protect


class Observed:
    """A raw peer that observes the server, and what it gets."""

    def __init__(self, pair):
        self.pair = pair
        self.raw = FakeTransport(pair.network, "raw")
        self.observation = None
        pair.handler = self.serve

    async def serve(self, request):
        if request.observe == 0:
            self.observation = self.pair.server.observe(request)
        return Response(CONTENT, b"0", 0)

    async def begin(self, observe=b"", message_id=0x1000):
        options = [(coap_options.OBSERVE, observe), (coap_options.URI_PATH, b"5")]
        request = message.encode(bytearray(64), 0, GET, message_id, b"tk", options)
        self.raw.send(request, "server")
        await settle()
        return self.take()

    def take(self):
        arrived = self.raw.take()
        return None if arrived is None else message.decode(memoryview(arrived[1]))

    def acknowledge(self, notification, kind=2):
        data = message.encode(bytearray(4), kind, message.EMPTY, notification.message_id)
        self.raw.send(data, "server")


def observing(test):
    pair = Pair(accepts_plain=True)
    pair.run(lambda pair: test(pair, Observed(pair)))


def test_notifications_are_numbered_and_repeated_until_acknowledged():
    async def test(pair, peer):
        first = await peer.begin()
        assert coap_options.find(first.options, coap_options.OBSERVE) is not None
        assert pair.server.observations == [peer.observation]
        pair.server.notify(peer.observation, b"1", 0)
        await advance(pair.network, 4000)
        notification = peer.take()
        again = peer.take()
        assert again.message_id == notification.message_id
        assert bytes(notification.payload) == b"1"
        assert notification.token == b"tk"
        number = coap_options.find_uint(notification.options, coap_options.OBSERVE)
        peer.acknowledge(notification)
        await advance(pair.network, 60_000)
        assert peer.take() is None
        pair.server.notify(peer.observation, b"2", 0)
        await settle()
        later = coap_options.find_uint(peer.take().options, coap_options.OBSERVE)
        assert later > number

    observing(test)


def test_only_the_newest_state_waits_for_an_acknowledgement():
    async def test(pair, peer):
        await peer.begin()
        for payload in (b"1", b"2", b"3"):
            pair.server.notify(peer.observation, payload, 0)
        await settle()
        first = peer.take()
        assert peer.take() is None
        peer.acknowledge(first)
        await settle()
        assert bytes(peer.take().payload) == b"3"

    observing(test)


def test_a_reset_ends_the_observation():
    for confirmable in (True, False):

        async def test(pair, peer, confirmable=confirmable):
            await peer.begin()
            pair.server.notify(peer.observation, b"1", 0, confirmable=confirmable)
            await settle()
            peer.acknowledge(peer.take(), kind=3)
            await settle()
            assert not peer.observation.is_active
            assert pair.server.observations == []
            pair.server.notify(peer.observation, b"2", 0)
            await settle()
            assert peer.take() is None

        observing(test)


def test_a_silent_peer_ends_the_observation():
    async def test(pair, peer):
        await peer.begin()
        pair.server.notify(peer.observation, b"1", 0)
        await advance(pair.network, 100_000)
        assert pair.server.observations == []

    observing(test)


def test_a_peer_takes_its_observation_back():
    async def test(pair, peer):
        await peer.begin()
        answer = await peer.begin(observe=b"\x01", message_id=0x1001)
        assert coap_options.find(answer.options, coap_options.OBSERVE) is None
        assert pair.server.observations == []

    observing(test)


def test_observing_again_takes_the_place_of_the_first():
    async def test(pair, peer):
        await peer.begin()
        first = peer.observation
        await peer.begin(message_id=0x1001)
        assert not first.is_active
        assert pair.server.observations == [peer.observation]

    observing(test)


def test_an_error_ends_the_observation_it_answers():
    async def test(pair, peer):
        async def refuse(request):
            pair.server.observe(request)
            return Response(message.NOT_FOUND)

        pair.handler = refuse
        answer = await peer.begin()
        assert answer.code == message.NOT_FOUND
        assert coap_options.find(answer.options, coap_options.OBSERVE) is None
        assert pair.server.observations == []

    observing(test)


def test_the_seventeenth_observation_is_a_plain_read():
    async def test(pair, peer):
        seen = []

        async def serve(request):
            seen.append(pair.server.observe(request))
            return Response(CONTENT, b"0")

        pair.handler = serve
        for number in range(17):
            options = [(coap_options.OBSERVE, b""), (coap_options.URI_PATH, str(number).encode())]
            token = bytes((number,))
            peer.raw.send(message.encode(bytearray(64), 0, GET, number, token, options), "server")
            await settle()
        assert seen[15] is not None
        assert seen[16] is None
        assert len(pair.server.observations) == 16

    observing(test)


def test_observations_follow_a_peer_to_its_new_address():
    async def test(pair):
        async def serve(request):
            if request.observe == 0:
                pair.server.observe(request)
            return Response(CONTENT, b"0")

        pair.handler = serve
        options = [(coap_options.OBSERVE, b""), (coap_options.URI_PATH, b"5")]
        code, outer, ciphertext, binding = protect.protect_request(pair.context, GET, options, b"")
        datagram = message.encode(bytearray(128), 0, code, 1, b"tk", outer, ciphertext)
        old = FakeTransport(pair.network, "old")
        old.send(datagram, "server")
        await settle()
        assert old.take() is not None
        await run_until_done(pair.network, pair.request(GET, ("a",)))
        pair.server.notify(pair.server.observations[0], b"1", None)
        await settle()
        assert old.take() is None
        notification = message.decode(memoryview(pair.network.log[-2][3]))
        assert pair.network.log[-2][2] == "client"
        option = coap_options.find(notification.options, coap_options.OSCORE)
        _, _, payload = protect.unprotect_response(
            pair.context, binding, option, notification.payload
        )
        assert bytes(payload) == b"1"

    Pair().run(test)
