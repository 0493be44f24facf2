"""The border between generated messages and the fleet's values: one function per direction.

Not validation of meaning: that is the services' work. Only ranges that the values cannot hold are
refused here.
"""

import math
import re
from collections.abc import Mapping, Sequence
from itertools import accumulate

from poleward.v1 import (
    artifact_service_pb2 as artifact_pb,
)
from poleward.v1 import (
    gateway_link_service_pb2 as link_pb,
)
from poleward.v1 import (
    inventory_service_pb2 as inventory_pb,
)
from poleward.v1 import (
    release_service_pb2 as release_pb,
)
from poleward.v1 import (
    telemetry_types_pb2 as telemetry_pb,
)
from poleward_fleet.domain.commands import AnswerCall, Command, CommandStatus, SetLamp
from poleward_fleet.domain.errors import InvalidError
from poleward_fleet.domain.gateway_link import GatewaySoftware, Hello, NodeState, NodeUpdate
from poleward_fleet.domain.identity import (
    DesiredNode,
    DesiredRelease,
    DesiredState,
    NodeTask,
    OscoreKeys,
)
from poleward_fleet.domain.inventory import Area, Gateway, LinkState, Node, Pole, PoleView
from poleward_fleet.domain.releases import Patch, PatchState, Release
from poleward_fleet.domain.rollout import NodeStage
from poleward_fleet.domain.strangers import SIGHTINGS_MAX, Sighting, StrangersSeen
from poleward_fleet.domain.telemetry import NodeEvent, ReportColumns, SeriesKey, Severity

_INT32_MAX = 2**31 - 1
_INT64_MAX = 2**63 - 1
_KEY_ID_MAX_BYTES = 16
_FAULTS = {link_pb.STRANGER_FAULT_UNKNOWN_KEY_ID, link_pb.STRANGER_FAULT_WRONG_KEY}
MAX_SERIES = 256
MAX_LAYOUTS = 256
MAX_REPORTS = 100_000

_LINK_STATES = {
    link_pb.NODE_LINK_STATE_UNSPECIFIED: LinkState.UNKNOWN,
    link_pb.NODE_LINK_STATE_BOOTSTRAPPED: LinkState.BOOTSTRAPPED,
    link_pb.NODE_LINK_STATE_ONLINE: LinkState.ONLINE,
    link_pb.NODE_LINK_STATE_SILENT: LinkState.SILENT,
    link_pb.NODE_LINK_STATE_OFFLINE: LinkState.OFFLINE,
}
_STAGES = {
    link_pb.UPDATE_STATE_OFFERED: NodeStage.OFFERED,
    link_pb.UPDATE_STATE_DOWNLOADING: NodeStage.DOWNLOADING,
    link_pb.UPDATE_STATE_DOWNLOADED: NodeStage.DOWNLOADED,
    link_pb.UPDATE_STATE_TRIAL: NodeStage.TRIAL,
    link_pb.UPDATE_STATE_CONFIRMED: NodeStage.CONFIRMED,
    link_pb.UPDATE_STATE_RETURNED: NodeStage.RETURNED,
    link_pb.UPDATE_STATE_REJECTED: NodeStage.REJECTED,
    link_pb.UPDATE_STATE_FAILED: NodeStage.FAILED,
    link_pb.UPDATE_STATE_FROZEN: NodeStage.FAILED,
}
_SEVERITIES = {
    telemetry_pb.EVENT_SEVERITY_UNSPECIFIED: Severity.INFO,
    telemetry_pb.EVENT_SEVERITY_INFO: Severity.INFO,
    telemetry_pb.EVENT_SEVERITY_WARNING: Severity.WARNING,
    telemetry_pb.EVENT_SEVERITY_CRITICAL: Severity.CRITICAL,
}
_TASKS = {
    NodeTask.SERVE: link_pb.NODE_TASK_SERVE,
    NodeTask.HAND_OVER: link_pb.NODE_TASK_HAND_OVER,
    NodeTask.WIPE: link_pb.NODE_TASK_WIPE,
    NodeTask.FORGET: link_pb.NODE_TASK_FORGET,
}
_COMMAND_STATUSES: dict[int, CommandStatus] = {
    link_pb.COMMAND_STATUS_DONE: CommandStatus.DONE,
    link_pb.COMMAND_STATUS_EXPIRED: CommandStatus.EXPIRED,
    link_pb.COMMAND_STATUS_REFUSED: CommandStatus.REFUSED,
    link_pb.COMMAND_STATUS_UNREACHABLE: CommandStatus.UNREACHABLE,
}


_ORIGIN = re.compile(
    r"https?://[0-9A-Za-z.\[\]-]+(:[0-9]{1,5})?|https?://\[[0-9a-fA-F:.]+\](:[0-9]{1,5})?"
)


def report_columns(message: telemetry_pb.ReportColumns) -> ReportColumns:
    """Unpack a batch of reports.

    Raises:
        InvalidError: Columns of unequal length, a layout that does not exist, values that do not
            add up, or numbers out of range.
    """
    rows = len(message.node_number)
    columns = (message.boot, message.sequence, message.layout, message.time_delta_ms)
    if rows > MAX_REPORTS:
        raise InvalidError(f"{rows} reports in one batch; at most {MAX_REPORTS}")
    if any(len(column) != rows for column in columns):
        raise InvalidError("the columns of a report batch have different lengths")
    if len(message.layouts) > MAX_LAYOUTS:
        raise InvalidError(f"{len(message.layouts)} layouts in one batch; at most {MAX_LAYOUTS}")
    layouts = tuple(
        tuple(SeriesKey(key.metric, key.instance) for key in layout.series)
        for layout in message.layouts
    )
    for layout in layouts:
        if not 0 < len(layout) <= MAX_SERIES or len(set(layout)) != len(layout):
            raise InvalidError(f"a layout has 1 to {MAX_SERIES} different series")
        if any(not key.metric or len(key.metric) > 128 for key in layout):
            raise InvalidError("a metric needs a name of at most 128 characters")
    if rows and max(message.layout) >= len(layouts):
        raise InvalidError("a report names a layout that the batch does not have")
    widths = [len(layout) for layout in layouts]
    if sum(map(widths.__getitem__, message.layout)) != len(message.value):
        raise InvalidError("the values of a report batch do not fit its layouts")
    for column in (message.node_number, message.boot, message.sequence):
        _require_int32(column)
    times = list(accumulate(message.time_delta_ms))
    if times and not 0 <= min(times) <= max(times) <= _INT64_MAX:
        raise InvalidError("a report's time is out of range")
    return ReportColumns(
        layouts=layouts,
        node_number=list(message.node_number),
        boot=list(message.boot),
        sequence=list(message.sequence),
        layout=list(message.layout),
        measured_at_ms=times,
        value=list(message.value),
    )


def node_event(message: telemetry_pb.NodeEvent) -> NodeEvent:
    """Unpack an event; those that a gateway makes about a node count from 2^31."""
    _require_int32((message.node_number, message.boot))
    return NodeEvent(
        node_number=message.node_number,
        boot=message.boot,
        sequence=message.sequence,
        occurred_at_ms=max(0, message.occurred_at_ms),
        kind=message.kind[:128].replace("\x00", ""),
        severity=_SEVERITIES.get(message.severity, Severity.INFO),
        detail=_texts(message.detail),
    )


def node_state(message: link_pb.NodeState) -> NodeState:
    """Unpack the reported state of a node."""
    _require_int32((message.node_number, message.boot))
    _require_sequence(message.release_sequence)
    return NodeState(
        node_number=message.node_number,
        link_state=_LINK_STATES.get(message.link_state, LinkState.UNKNOWN),
        heard_at_ms=max(0, message.heard_at_ms),
        bundle_version=_optional_text(message),
        release_sequence=(
            message.release_sequence if message.HasField("release_sequence") else None
        ),
        boot=message.boot if message.HasField("boot") else None,
        device=_device(message),
        update=_update(message.update) if message.HasField("update") else None,
    )


def gateway_software(message: link_pb.GatewaySoftware) -> GatewaySoftware:
    """Unpack what a gateway itself runs.

    Raises:
        InvalidError: The sequence number is out of range.
    """
    _require_sequence(message.release_sequence)
    return GatewaySoftware(
        version=message.version[:64].replace("\x00", ""),
        release_sequence=message.release_sequence,
        update=_update(message.update) if message.HasField("update") else None,
    )


def strangers_seen(message: link_pb.StrangersSeen) -> StrangersSeen:
    """Unpack whom a gateway refused; what says the same key id again counts once."""
    sightings = {
        (seen.fault, seen.key_id[:_KEY_ID_MAX_BYTES]): Sighting(
            is_wrong_key=seen.fault == link_pb.STRANGER_FAULT_WRONG_KEY,
            key_id=seen.key_id[:_KEY_ID_MAX_BYTES],
            peer=seen.peer[:64].replace("\x00", ""),
            first_seen_at_ms=max(0, seen.first_seen_at_ms),
            last_seen_at_ms=max(0, seen.last_seen_at_ms),
            attempts=min(seen.attempts, _INT64_MAX),
        )
        for seen in message.sightings[:SIGHTINGS_MAX]
        if seen.fault in _FAULTS
    }
    return StrangersSeen(tuple(sightings.values()), message.attempts_per_minute)


def _update(message: link_pb.NodeUpdate) -> NodeUpdate:
    return NodeUpdate(
        release_digest=message.release_digest,
        stage=_STAGES.get(message.state),
        reason=message.reason[:1000].replace("\x00", ""),
        is_frozen=message.state == link_pb.UPDATE_STATE_FROZEN,
    )


def _require_sequence(sequence: int) -> None:
    if sequence > _INT64_MAX:
        raise InvalidError("a release sequence number is out of range")


def _device(message: link_pb.NodeState) -> tuple[tuple[str, str], ...]:
    """What a node says about itself, and which lighting program it follows."""
    texts = dict(_texts(message.device))
    if message.HasField("program_digest"):
        texts["lighting_program"] = message.program_digest[:64].replace("\x00", "")
    return tuple(sorted(texts.items()))


def _optional_text(message: link_pb.NodeState) -> str | None:
    if not message.HasField("bundle_version"):
        return None
    return message.bundle_version[:64].replace("\x00", "")


def _texts(items: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    pairs = items.items()
    return tuple(
        sorted((k[:128].replace("\x00", ""), v[:4096].replace("\x00", "")) for k, v in pairs)
    )


def _require_int32(numbers: Sequence[int]) -> None:
    if numbers and max(numbers) > _INT32_MAX:
        raise InvalidError(f"{max(numbers)} is too big for a node, boot or sequence number")


def hello(message: link_pb.Hello) -> Hello:
    """Unpack the introduction of a gateway.

    Raises:
        InvalidError: No spool id, or something out of range.
    """
    if not 0 < len(message.spool_id) <= 128 or "\x00" in message.spool_id:
        raise InvalidError("the hello has no usable spool id")
    return Hello(
        software_version=message.software_version[:64].replace("\x00", ""),
        spool_id=message.spool_id,
        desired_revision=min(message.desired_revision, _INT64_MAX),
        coap_uri=message.coap_uri[:256].replace("\x00", ""),
        lighting_digest=message.lighting_digest,
        site_url=_site_url(message.site_url),
        work_order_revision=min(message.work_order_revision, _INT64_MAX),
    )


def _site_url(text: str) -> str:
    """Return an origin that a page may ask; empty for anything else.

    It goes into a header of the page: nothing else may come with it.
    """
    return text if len(text) <= 256 and _ORIGIN.fullmatch(text) else ""


def command_status(status: int) -> CommandStatus:
    """Unpack an outcome.

    Raises:
        InvalidError: It is not set.
    """
    if status not in _COMMAND_STATUSES:
        raise InvalidError("the outcome of a command is missing")
    return _COMMAND_STATUSES[status]


def command_to_message(command: Command) -> link_pb.Command:
    """Pack a command."""
    message = link_pb.Command(
        command_id=command.command_id,
        node_number=command.node_number,
        deadline_ms=command.deadline_ms,
    )
    if isinstance(command.action, SetLamp):
        message.set_lamp.CopyFrom(
            link_pb.SetLamp(
                instance=command.action.instance,
                level_percent=command.action.level_percent,
                duration_s=command.action.duration_s,
                starts_at_s=command.action.starts_at_s,
                fade_ms=command.action.fade_ms,
            )
        )
    elif isinstance(command.action, AnswerCall):
        message.answer_call.CopyFrom(link_pb.AnswerNodeCall(reset=command.action.reset))
    else:
        message.reboot.SetInParent()
    return message


def desired_state_to_message(state: DesiredState) -> link_pb.DesiredState:
    """Pack the desired state of a gateway."""
    return link_pb.DesiredState(
        revision=state.revision,
        complete=state.complete,
        nodes=[_desired_node(node) for node in state.nodes],
        release_keys=list(state.release_keys),
        release_threshold=state.release_threshold,
        trust_documents=list(state.trust_documents),
        gateway_release=_desired_release(state.gateway_release),
    )


def _desired_node(node: DesiredNode) -> link_pb.DesiredNode:
    return link_pb.DesiredNode(
        node_number=node.node_number,
        endpoint_name=node.endpoint_name,
        bootstrap=_oscore(node.bootstrap),
        operational=_oscore(node.operational),
        report_interval_s=node.report_interval_s,
        release=_desired_release(node.release),
        lamp_nominal_w=node.lamp_nominal_w,
        task=_TASKS[node.task],
        gateway_uri=node.gateway_uri,
    )


def _desired_release(release: DesiredRelease) -> link_pb.DesiredRelease | None:
    if not release.digest:
        return None
    return link_pb.DesiredRelease(
        digest=release.digest,
        directive=release.directive,
        install_times=[
            link_pb.InstallTime(from_s=opening.from_s, until_s=opening.until_s)
            for opening in release.install_times
        ],
    )


def _oscore(keys: OscoreKeys | None) -> link_pb.OscoreKeys | None:
    if keys is None:
        return None
    return link_pb.OscoreKeys(
        master_secret=keys.master_secret,
        master_salt=keys.master_salt,
        node_id=keys.node_id,
        gateway_id=keys.gateway_id,
    )


def area(message: inventory_pb.Area) -> Area:
    """Unpack an area."""
    return Area(message.code, message.name, message.parent_code)


def area_to_message(value: Area) -> inventory_pb.Area:
    """Pack an area."""
    return inventory_pb.Area(code=value.code, name=value.name, parent_code=value.parent_code)


def pole(message: inventory_pb.Pole) -> Pole:
    """Unpack a pole.

    Raises:
        InvalidError: A coordinate is not a number, or the wattage is out of range.
    """
    if not (math.isfinite(message.latitude_deg) and math.isfinite(message.longitude_deg)):
        raise InvalidError(f"pole {message.code} has no place")
    _require_int32((message.lamp_nominal_w,))
    return Pole(
        code=message.code,
        area_code=message.area_code,
        latitude_deg=message.latitude_deg,
        longitude_deg=message.longitude_deg,
        equipment=tuple(message.equipment),
        lamp_nominal_w=message.lamp_nominal_w,
    )


def pole_view_to_message(view: PoleView) -> inventory_pb.PoleView:
    """Pack a pole with its node."""
    message = inventory_pb.PoleView(
        pole=inventory_pb.Pole(
            code=view.pole.code,
            area_code=view.pole.area_code,
            latitude_deg=view.pole.latitude_deg,
            longitude_deg=view.pole.longitude_deg,
            equipment=view.pole.equipment,
            lamp_nominal_w=view.pole.lamp_nominal_w,
        )
    )
    if view.node is not None:
        message.node.CopyFrom(node_to_message(view.node))
    return message


def page_number(token: str) -> int:
    """Take the token of a page of numbered things apart; 0 for the first page.

    Raises:
        InvalidError: The token is not ours.
    """
    if not token:
        return 0
    if not (token.isascii() and token.isdigit() and len(token) < 10):
        raise InvalidError("the page token is not from this fleet")
    return int(token)


def node_to_message(node: Node) -> inventory_pb.Node:
    """Pack a node."""
    return inventory_pb.Node(
        number=node.number,
        endpoint_name=node.endpoint_name,
        life_state=node.life_state.value,
        link_state=node.link_state.value,
        heard_at_ms=node.heard_at_ms,
        bundle_version=node.bundle_version,
        pole_code=node.pole_code,
        gateway_name=node.gateway_name,
        release_sequence=node.release_sequence,
    )


def gateway_to_message(value: Gateway) -> inventory_pb.Gateway:
    """Pack a gateway."""
    return inventory_pb.Gateway(
        name=value.name,
        area_code=value.area_code,
        connected=value.connected,
        heard_at_ms=value.heard_at_ms,
        software_version=value.software_version,
        node_count=value.node_count,
    )


def release_to_message(value: Release) -> release_pb.Release:
    """Pack a release."""
    return release_pb.Release(
        digest=value.digest,
        version=value.version,
        sequence=value.sequence,
        board_profile=value.board_profile,
        published_at_ms=value.published_at_ms,
        notes=value.notes,
        bundle_bytes=value.bundle_bytes,
        image_bytes=value.image_bytes,
        downgrade=value.downgrade,
    )


_PATCH_STATES = {
    PatchState.NONE: artifact_pb.PATCH_STATE_NONE,
    PatchState.MAKING: artifact_pb.PATCH_STATE_MAKING,
    PatchState.READY: artifact_pb.PATCH_STATE_READY,
}


def patch_to_message(value: Patch) -> artifact_pb.GetPatchResponse:
    """Pack how far a patch is."""
    return artifact_pb.GetPatchResponse(
        state=_PATCH_STATES[value.state], digest=value.digest, size_bytes=value.size_bytes
    )
