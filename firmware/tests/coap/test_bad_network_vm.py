"""Many requests over a network that loses, doubles and reorders; on both Pythons."""

import asyncio

from vm.fake_network import CountingRandom, Started, run_until_done
from vm.two_endpoints import Pair

from node.coap.client import RequestTimeout
from node.coap.message import CHANGED, POST, Response


def test_a_flood_of_datagrams_leaves_others_their_turns():
    async def test(pair):
        flood = 50
        for _ in range(flood):
            pair.network.send("stranger", "server", b"garbage")
        turns = 0
        while pair.network.in_flight:
            turns += 1
            await asyncio.sleep(0)
        assert pair.server.malformed == flood
        assert turns >= flood - 1

    Pair().run(test)


def test_under_a_bad_network_every_request_is_served_at_most_once():
    async def test(pair):
        noise = CountingRandom(11)

        def bad(source, destination, datagram):
            chance = noise(1)[0]
            if chance < 64:
                return []  # a quarter is lost
            if chance < 96:
                return [0, noise(1)[0] * 20]  # some come again, up to 5 s later
            return [noise(1)[0] * 4]  # the others overtake each other

        pair.network.rule = bad
        pair.network.log = None
        served = {}

        async def serve(request):
            number = request.payload[0]
            served[number] = served.get(number, 0) + 1
            return Response(CHANGED, request.payload)

        pair.handler = serve
        answered = 0
        for number in range(0, 60, 3):
            pair.requests.clear()
            requests = [
                Started(pair.request(POST, ("dp",), payload=bytes((number + each,))))
                for each in range(3)
            ]
            for each, started in enumerate(requests):
                try:
                    response = await run_until_done(pair.network, started)
                except RequestTimeout:
                    continue
                assert response.payload == bytes((number + each,))
                assert served[number + each] == 1
                answered += 1
        assert answered >= 55
        assert set(served.values()) == {1}

    Pair().run(test)


def test_a_datagram_that_finds_no_heap_is_taken_when_there_is_some():
    pair = Pair()
    transport = pair.server._transport
    receive = transport.receive_into
    attempts = []

    async def starved(buffer):
        attempts.append(len(buffer))
        if len(attempts) <= 3:
            raise MemoryError
        return await receive(buffer)

    async def test(pair):
        started = Started(pair.request(POST, ("dp",), payload=b"report"))
        assert (await run_until_done(pair.network, started)).payload == b"report"

    transport.receive_into = starved
    pair.run(test)
    assert pair.server.starved == 3
