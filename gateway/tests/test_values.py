"""Rules and mappings of the gateway, without any socket."""

import array
import math

import pytest
from gateway_fakes.desired import desired_node, desired_release, keys_of
from hypothesis import given
from hypothesis import strategies as st

from poleward.v1 import gateway_link_service_pb2 as pb
from poleward_gateway.adapters.fleet_link import mapping
from poleward_gateway.adapters.node_link import senml
from poleward_gateway.adapters.secrets.sealed_box import SealedBox
from poleward_gateway.adapters.storage import nodes as node_storage
from poleward_gateway.domain.commands import Command, CommandResult, CommandStatus, Reboot, SetLamp
from poleward_gateway.domain.nodes import (
    DesiredNode,
    DeviceFacts,
    LinkState,
    NodeNumber,
    NodeState,
    link_state_after,
)
from poleward_gateway.domain.telemetry import ReceivedMark, Report, Series, missing_before
from poleward_gateway.domain.trust import Signers
from poleward_gateway.domain.updates import (
    NO_RELEASE,
    DesiredRelease,
    InstallTime,
    NodeUpdate,
    UpdateState,
)
from poleward_gateway.ports.spool import ReportBatch

uint32 = st.integers(0, 2**32 - 1)
series = st.builds(Series, st.sampled_from(["a_w", "b_v", "c_c"]), st.integers(0, 9))


@st.composite
def reports(draw: st.DrawFn) -> Report:
    layout = tuple(draw(st.lists(series, max_size=4)))
    values = array.array("d", [draw(st.floats(allow_nan=False)) for _ in layout])
    return Report(
        NodeNumber(draw(uint32)), draw(uint32), draw(uint32),
        draw(st.integers(-(2**40), 2**45)), layout, values,
    )  # fmt: skip


@given(st.lists(reports(), max_size=6))
def test_reports_survive_the_way_through_packed_columns(made: list[Report]) -> None:
    message = mapping.report_batch_to_message(ReportBatch(7, tuple(made)))
    again = pb.ConnectRequest.FromString(message.SerializeToString())
    assert again.report_batch.batch_number == 7
    assert mapping.reports_from_message(again.report_batch) == tuple(made)


def test_a_value_that_is_no_number_travels_as_nan() -> None:
    report = Report(NodeNumber(1), 1, 1, 1, (Series("a_w", 0),), array.array("d", [math.nan]))
    message = mapping.report_batch_to_message(ReportBatch(1, (report,)))
    (found,) = mapping.reports_from_message(message.report_batch)
    assert math.isnan(found.values[0])


def test_desired_nodes_survive_the_way_from_the_fleet_to_the_disk() -> None:
    message = pb.DesiredState(
        revision=5,
        complete=True,
        nodes=[
            desired_node(3, release=desired_release(b"r" * 32, b"word", 1, 2)),
            pb.DesiredNode(node_number=4, task=pb.NODE_TASK_FORGET),
        ],
        release_keys=[b"k" * 32],
        gateway_release=desired_release(b"g" * 32),
    )
    change = mapping.desired_from_message(message)
    expected = DesiredNode(
        NodeNumber(3), "urn:dev:mac:000000000003", keys_of(3, "bootstrap"),
        keys_of(3, "operational"), 10, 60,
        DesiredRelease(b"r" * 32, b"word", (InstallTime(1, 2),)),
    )  # fmt: skip
    assert change.nodes == (expected,)
    assert change.removed == (NodeNumber(4),)
    assert change.own_release == DesiredRelease(b"g" * 32)
    assert mapping.desired_from_message(pb.DesiredState()).own_release == NO_RELEASE
    assert (change.revision, change.complete) == (5, True)
    assert change.signers == Signers((b"k" * 32,), 1)
    text = node_storage._node_to_text(expected, SealedBox(bytes(32)))
    assert node_storage._node_from_text(NodeNumber(3), text, SealedBox(bytes(32))) == expected


def test_keys_are_not_in_a_repr() -> None:
    node = mapping.desired_from_message(pb.DesiredState(nodes=[desired_node(3)])).nodes[0]
    secret = node.operational.master_secret
    assert repr(secret)[2:-1] not in repr(node)
    assert secret.hex() not in repr(node)


def test_a_command_that_is_not_known_is_none() -> None:
    lamp = pb.Command(
        command_id=b"1" * 16, node_number=4, deadline_ms=5,
        set_lamp=pb.SetLamp(instance=1, level_percent=2, duration_s=3),
    )  # fmt: skip
    assert mapping.command_from_message(lamp) == Command(
        b"1" * 16, NodeNumber(4), 5, SetLamp(1, 2, 3)
    )
    reboot = pb.Command(command_id=b"1" * 16, node_number=4, reboot=pb.Reboot())
    assert mapping.command_from_message(reboot) == Command(b"1" * 16, NodeNumber(4), 0, Reboot())
    assert mapping.command_from_message(pb.Command()) is None


@pytest.mark.parametrize("status", CommandStatus)
def test_every_outcome_has_a_message(status: CommandStatus) -> None:
    message = mapping.result_to_message(CommandResult(b"1" * 16, status, "why", 9))
    assert message.command_result.status != pb.COMMAND_STATUS_UNSPECIFIED
    assert message.command_result.detail == "why"


@pytest.mark.parametrize("link_state", LinkState)
@pytest.mark.parametrize("update_state", UpdateState)
def test_every_state_has_a_message(link_state: LinkState, update_state: UpdateState) -> None:
    update = NodeUpdate(b"d" * 32, update_state, "r")
    message = mapping.states_to_message(
        [NodeState(NodeNumber(1), link_state, 5, boot=2, update=update)]
    )
    (state,) = message.reported_state.nodes
    assert state.link_state != pb.NODE_LINK_STATE_UNSPECIFIED
    assert state.update.state != pb.UPDATE_STATE_UNSPECIFIED
    assert not state.HasField("bundle_version")


@pytest.mark.parametrize("on_trial", [False, True])
def test_a_release_on_trial_is_not_told_as_the_one_that_runs(on_trial: bool) -> None:
    device = DeviceFacts("m", "pole-basic", "sim", "1.1.0", 2, on_trial, "")
    state = NodeState(NodeNumber(1), LinkState.ONLINE, 5, device=device)
    (message,) = mapping.states_to_message([state]).reported_state.nodes
    assert message.HasField("release_sequence") is not on_trial


@pytest.mark.parametrize(
    ("registered", "ever", "silent_s", "expected"),
    [
        (False, False, 0, LinkState.BOOTSTRAPPED),
        (False, True, 0, LinkState.OFFLINE),
        (True, True, 0, LinkState.ONLINE),
        (True, True, 30, LinkState.ONLINE),
        (True, True, 30.001, LinkState.SILENT),
    ],
)
def test_a_node_is_silent_after_three_intervals(
    registered: bool, ever: bool, silent_s: float, expected: LinkState
) -> None:
    assert (
        link_state_after(
            registered=registered,
            ever_registered=ever,
            heard_at_ms=1_000_000,
            now_ms=1_000_000 + int(silent_s * 1000),
            report_interval_s=10,
        )
        is expected
    )


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 150)), max_size=60))
def test_a_mark_calls_duplicate_only_what_was_seen(arrivals: list[tuple[int, int]]) -> None:
    seen: set[tuple[int, int]] = set()
    mark: ReceivedMark | None = None
    for boot, sequence in arrivals:
        if mark is not None:
            is_duplicate = mark.holds(boot, sequence)
            if is_duplicate:
                assert (boot, sequence) in seen
            if boot == mark.boot and (boot, sequence) in seen and mark.highest - sequence < 63:
                assert is_duplicate
        mark = ReceivedMark.first(boot, sequence) if mark is None else mark.after(boot, sequence)
        seen.add((boot, sequence))
        assert mark.window < 1 << 63
    if mark is not None:
        assert (mark.boot, mark.highest) == max(seen)


@pytest.mark.parametrize(
    ("report", "made_before", "missing"),
    [
        ((3, 8), None, []),
        ((3, 11), None, [(3, range(8, 11))]),
        ((3, 5), None, []),
        ((2, 90), None, []),
        ((4, 0), None, []),
        ((4, 2), None, [(4, range(2))]),
        ((4, 0), 8, []),
        ((4, 0), 10, [(3, range(8, 10))]),
        ((4, 1), 10, [(3, range(8, 10)), (4, range(1))]),
        ((5, 0), 2, [(4, range(2))]),
        ((5, 0), 0, []),
    ],
)
def test_what_a_node_made_and_nobody_saw_is_missing(
    report: tuple[int, int], made_before: int | None, missing: list[tuple[int, range]]
) -> None:
    boot, sequence = report
    made = Report(NodeNumber(1), boot, sequence, 0, (), array.array("d"), made_before)
    # Up to number 7 of boot 3 everything was seen.
    assert missing_before(made, 3, 7) == missing


_paths = st.from_regex(r"/[0-9]{1,5}/0/[0-9]{1,3}", fullmatch=True)
_values = st.one_of(
    st.integers(-(2**63), 2**63), st.booleans(), st.sampled_from(["", "a", "灯"]),
    st.binary(max_size=9), st.floats(allow_nan=False),
)  # fmt: skip


@given(st.lists(st.tuples(_paths, _values), min_size=1, max_size=8))
def test_senml_survives_encoding_and_decoding(records: list[tuple[str, senml.Value]]) -> None:
    found = senml.decode(senml.encode(records))
    assert [(record.path, record.value) for record in found] == records


def test_an_object_link_has_its_own_label() -> None:
    (record,) = senml.decode(senml.encode([("17", senml.ObjectLink("21:1"))], base_name="/0/1/"))
    assert record.path == "/0/1/17"
    assert isinstance(record.value, senml.ObjectLink)
