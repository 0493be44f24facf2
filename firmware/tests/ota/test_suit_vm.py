"""The node's reader of envelopes against the golden vectors, on both Pythons."""

import asyncio

from refusals import refusal_of
from vm import vectors

from node.ota import suit
from node.ota.errors import UpdateError
from node.ota.release import Release
from node.ota.trust import Trust


def _verify(case, class_id: bytes, mac: str = "", rollout: str = "") -> "Release":
    trust = Trust(bytes.fromhex(case["trusted_keys"]), case["threshold"])
    trust.mac = bytes.fromhex(mac)
    envelope = bytes.fromhex(case["envelope"])
    return asyncio.run(suit.verify(envelope, trust, class_id, case["own_sequence"], rollout))


def test_vectors_are_accepted_or_refused_as_written():
    golden = vectors.load("envelope")
    class_id = bytes.fromhex(golden["class_id"])
    wrong = []
    for case in golden["cases"]:
        try:
            release = _verify(case, class_id, golden["mac"])
            result = 0
            assert (release.sequence, release.version) == (4, "1.4.0")
            assert release.bundle.size_bytes == golden["bundle_bytes"]
        except UpdateError as error:
            result = error.result if error.reason else "no reason"
        if result != case["result"]:
            wrong.append((case["name"], result))
    assert not wrong, wrong


def test_board_of_another_class_refuses_the_release():
    golden = vectors.load("envelope")
    refusal = refusal_of(_verify, golden["cases"][0], bytes(16))
    assert refusal.reason == "release is for another board class"


def test_permission_for_a_rollout_is_good_in_that_rollout_only():
    golden = vectors.load("envelope")
    class_id = bytes.fromhex(golden["class_id"])
    name = "permitted for rollout:return-2026-11 only"
    case = next(case for case in golden["cases"] if case["name"] == name)
    assert _verify(case, class_id, rollout="return-2026-11").sequence == 4
    for rollout in ("", "return-2026-12"):
        refusal = refusal_of(_verify, case, class_id, "", rollout)
        assert refusal.reason == "sequence 4 is not above 9"


def test_every_altered_byte_is_refused_without_another_error():
    golden = vectors.load("envelope")
    class_id = bytes.fromhex(golden["class_id"])
    case = dict(golden["cases"][0])
    envelope = bytes.fromhex(case["envelope"])
    del golden
    # Every seventh: a signature takes its time in plain Python.
    for at in range(0, len(envelope), 7):
        altered = bytearray(envelope)
        altered[at] ^= 1 << (at & 7)
        case["envelope"] = bytes(altered).hex()
        refusal_of(_verify, case, class_id)
