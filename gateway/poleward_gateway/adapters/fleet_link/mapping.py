"""The border between the gateway's values and the messages of poleward.v1.

Not the stream: link.py. Each function has a round-trip test.
"""

import array
from collections.abc import Sequence

from poleward.v1 import artifact_service_pb2 as artifact_pb
from poleward.v1 import gateway_link_service_pb2 as pb
from poleward.v1 import telemetry_types_pb2 as types_pb
from poleward_gateway.domain.commands import (
    Action,
    AnswerCall,
    Command,
    CommandResult,
    CommandStatus,
    Reboot,
    SetLamp,
)
from poleward_gateway.domain.nodes import (
    DesiredChange,
    DesiredNode,
    LinkState,
    NodeNumber,
    NodeState,
    NodeTask,
    OscoreKeys,
)
from poleward_gateway.domain.software import GatewaySoftware
from poleward_gateway.domain.strangers import Fault, StrangersSeen
from poleward_gateway.domain.telemetry import Report, Series, Severity
from poleward_gateway.domain.trust import Signers
from poleward_gateway.domain.updates import (
    DesiredRelease,
    InstallTime,
    NodeUpdate,
    UpdateState,
)
from poleward_gateway.ports.releases import FoundPatch, PatchState
from poleward_gateway.ports.spool import EventBatch, ReportBatch

_LINK_STATES = {
    LinkState.BOOTSTRAPPED: pb.NODE_LINK_STATE_BOOTSTRAPPED,
    LinkState.ONLINE: pb.NODE_LINK_STATE_ONLINE,
    LinkState.SILENT: pb.NODE_LINK_STATE_SILENT,
    LinkState.OFFLINE: pb.NODE_LINK_STATE_OFFLINE,
}
_FAULTS = {
    Fault.UNKNOWN_KEY_ID: pb.STRANGER_FAULT_UNKNOWN_KEY_ID,
    Fault.WRONG_KEY: pb.STRANGER_FAULT_WRONG_KEY,
}
_UPDATE_STATES = {
    UpdateState.IDLE: pb.UPDATE_STATE_IDLE,
    UpdateState.OFFERED: pb.UPDATE_STATE_OFFERED,
    UpdateState.DOWNLOADING: pb.UPDATE_STATE_DOWNLOADING,
    UpdateState.DOWNLOADED: pb.UPDATE_STATE_DOWNLOADED,
    UpdateState.TRIAL: pb.UPDATE_STATE_TRIAL,
    UpdateState.CONFIRMED: pb.UPDATE_STATE_CONFIRMED,
    UpdateState.RETURNED: pb.UPDATE_STATE_RETURNED,
    UpdateState.REJECTED: pb.UPDATE_STATE_REJECTED,
    UpdateState.FAILED: pb.UPDATE_STATE_FAILED,
    UpdateState.FROZEN: pb.UPDATE_STATE_FROZEN,
}
_COMMAND_STATUSES = {
    CommandStatus.DONE: pb.COMMAND_STATUS_DONE,
    CommandStatus.EXPIRED: pb.COMMAND_STATUS_EXPIRED,
    CommandStatus.REFUSED: pb.COMMAND_STATUS_REFUSED,
    CommandStatus.UNREACHABLE: pb.COMMAND_STATUS_UNREACHABLE,
}
_TASKS: dict[int, NodeTask] = {
    pb.NODE_TASK_SERVE: NodeTask.SERVE,
    pb.NODE_TASK_HAND_OVER: NodeTask.HAND_OVER,
    pb.NODE_TASK_WIPE: NodeTask.WIPE,
}
_SEVERITIES = {
    Severity.INFO: types_pb.EVENT_SEVERITY_INFO,
    Severity.WARNING: types_pb.EVENT_SEVERITY_WARNING,
    Severity.CRITICAL: types_pb.EVENT_SEVERITY_CRITICAL,
}


def report_batch_to_message(batch: ReportBatch) -> pb.ConnectRequest:
    """Put reports into packed columns: row i of each column belongs to report i."""
    layouts: dict[tuple[Series, ...], int] = {}
    columns = types_pb.ReportColumns()
    before_ms = 0
    for report in batch.reports:
        index = layouts.get(report.layout)
        if index is None:
            index = layouts[report.layout] = len(layouts)
            columns.layouts.append(
                types_pb.ReportLayout(
                    series=[
                        types_pb.SeriesKey(metric=s.metric, instance=s.instance)
                        for s in report.layout
                    ]
                )
            )
        columns.layout.append(index)
        columns.time_delta_ms.append(report.time_ms - before_ms)
        before_ms = report.time_ms
        columns.value.extend(report.values)
    columns.node_number.extend(report.node for report in batch.reports)
    columns.boot.extend(report.boot for report in batch.reports)
    columns.sequence.extend(report.sequence for report in batch.reports)
    return pb.ConnectRequest(
        report_batch=pb.ReportBatch(batch_number=batch.number, reports=columns)
    )


def reports_from_message(message: pb.ReportBatch) -> tuple[Report, ...]:
    """Take packed columns apart; the inverse of `report_batch_to_message`."""
    columns = message.reports
    layouts = [
        tuple(Series(key.metric, key.instance) for key in layout.series)
        for layout in columns.layouts
    ]
    reports = []
    time_ms = 0
    offset = 0
    for row, node in enumerate(columns.node_number):
        layout = layouts[columns.layout[row]]
        time_ms += columns.time_delta_ms[row]
        values = array.array("d", columns.value[offset : offset + len(layout)])
        offset += len(layout)
        reports.append(
            Report(
                node=NodeNumber(node),
                boot=columns.boot[row],
                sequence=columns.sequence[row],
                time_ms=time_ms,
                layout=layout,
                values=values,
            )
        )
    return tuple(reports)


def event_batch_to_message(batch: EventBatch) -> pb.ConnectRequest:
    """Make the message of an event batch."""
    events = [
        types_pb.NodeEvent(
            node_number=event.node,
            boot=event.boot,
            sequence=event.sequence,
            occurred_at_ms=event.occurred_at_ms,
            kind=event.kind,
            severity=_SEVERITIES[event.severity],
            detail=dict(event.detail),
        )
        for event in batch.events
    ]
    return pb.ConnectRequest(event_batch=pb.EventBatch(batch_number=batch.number, events=events))


def states_to_message(states: Sequence[NodeState]) -> pb.ConnectRequest:
    """Make the message of reported states."""
    return pb.ConnectRequest(
        reported_state=pb.ReportedState(nodes=[_state_to_message(state) for state in states])
    )


def _state_to_message(state: NodeState) -> pb.NodeState:
    """Make the message of one node's state; what is not known is not set."""
    message = pb.NodeState(
        node_number=state.number,
        link_state=_LINK_STATES[state.link_state],
        heard_at_ms=state.heard_at_ms,
        boot=state.boot,
    )
    if state.device is not None:
        if not state.device.on_trial:
            # A release on trial may yet be left: it is told when the node has confirmed it.
            message.bundle_version = state.device.bundle_version
            message.release_sequence = state.device.release_sequence
        message.device["manufacturer"] = state.device.manufacturer
        message.device["model"] = state.device.model
        message.device["hardware_version"] = state.device.hardware_version
        if state.device.trust_version is not None:
            message.device["trust_version"] = str(state.device.trust_version)
    if state.program_digest is not None:
        message.program_digest = state.program_digest
    message.update.CopyFrom(_update(state.update))
    return message


def _update(update: NodeUpdate | None) -> pb.NodeUpdate:
    if update is None:
        return pb.NodeUpdate(state=pb.UPDATE_STATE_IDLE)
    return pb.NodeUpdate(
        release_digest=update.release_digest,
        state=_UPDATE_STATES[update.state],
        reason=update.reason,
    )


def result_to_message(result: CommandResult) -> pb.ConnectRequest:
    """Make the message of a command's outcome."""
    return pb.ConnectRequest(
        command_result=pb.CommandResult(
            command_id=result.command_id,
            status=_COMMAND_STATUSES[result.status],
            detail=result.detail,
            finished_at_ms=result.finished_at_ms,
        )
    )


def command_from_message(message: pb.Command) -> Command | None:
    """Read a command; None for an action that this gateway does not know."""
    action: Action
    kind = message.WhichOneof("action")
    if kind == "set_lamp":
        lamp = message.set_lamp
        action = SetLamp(
            lamp.instance, lamp.level_percent, lamp.duration_s, lamp.starts_at_s, lamp.fade_ms
        )
    elif kind == "answer_call":
        action = AnswerCall(message.answer_call.reset)
    elif kind == "reboot":
        action = Reboot()
    else:
        return None
    return Command(
        command_id=message.command_id,
        node=NodeNumber(message.node_number),
        deadline_ms=message.deadline_ms,
        action=action,
    )


def desired_from_message(message: pb.DesiredState) -> DesiredChange:
    """Read desired state."""
    nodes = [node for node in message.nodes if node.task != pb.NODE_TASK_FORGET]
    return DesiredChange(
        revision=message.revision,
        complete=message.complete,
        nodes=tuple(_desired_node(node) for node in nodes),
        removed=tuple(
            NodeNumber(node.node_number)
            for node in message.nodes
            if node.task == pb.NODE_TASK_FORGET
        ),
        signers=Signers(tuple(message.release_keys), max(1, message.release_threshold)),
        trust_documents=tuple(message.trust_documents),
        own_release=_desired_release(message.gateway_release),
    )


def software_to_message(software: GatewaySoftware) -> pb.ConnectRequest:
    """Make the message of what the gateway itself runs."""
    return pb.ConnectRequest(
        gateway_software=pb.GatewaySoftware(
            version=software.version,
            release_sequence=software.sequence,
            update=_update(software.update),
        )
    )


def strangers_to_message(seen: StrangersSeen) -> pb.ConnectRequest:
    """Make the message of whom the gateway refused."""
    sightings = [
        pb.StrangerSighting(
            fault=_FAULTS[sighting.fault],
            key_id=sighting.key_id,
            peer=sighting.peer,
            first_seen_at_ms=sighting.first_seen_at_ms,
            last_seen_at_ms=sighting.last_seen_at_ms,
            attempts=sighting.attempts,
        )
        for sighting in seen.sightings
    ]
    return pb.ConnectRequest(
        strangers_seen=pb.StrangersSeen(
            sightings=sightings, attempts_per_minute=seen.attempts_per_minute
        )
    )


def patch_from_message(message: artifact_pb.GetPatchResponse) -> FoundPatch:
    """Read how far a patch is; what a newer fleet may say otherwise counts as none."""
    if message.state == artifact_pb.PATCH_STATE_READY:
        return FoundPatch(PatchState.READY, message.digest)
    if message.state == artifact_pb.PATCH_STATE_MAKING:
        return FoundPatch(PatchState.MAKING)
    return FoundPatch(PatchState.NONE)


def _desired_node(message: pb.DesiredNode) -> DesiredNode:
    return DesiredNode(
        number=NodeNumber(message.node_number),
        endpoint_name=message.endpoint_name,
        bootstrap=_keys(message.bootstrap),
        operational=_keys(message.operational),
        report_interval_s=message.report_interval_s,
        release=_desired_release(message.release),
        lamp_nominal_w=message.lamp_nominal_w,
        task=_TASKS.get(message.task, NodeTask.SERVE),
        gateway_uri=message.gateway_uri,
    )


def _desired_release(message: pb.DesiredRelease) -> DesiredRelease:
    """Read what should run; a message that is not set is NO_RELEASE."""
    return DesiredRelease(
        message.digest,
        message.directive,
        tuple(InstallTime(time.from_s, time.until_s) for time in message.install_times),
    )


def _keys(message: pb.OscoreKeys) -> OscoreKeys:
    return OscoreKeys(
        master_secret=message.master_secret,
        master_salt=message.master_salt,
        node_id=message.node_id,
        gateway_id=message.gateway_id,
    )
