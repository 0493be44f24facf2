"""Converts poleward.v1 messages to the client's plain values and back, and nothing else."""

from poleward.v1 import inventory_service_pb2 as inventory
from poleward.v1 import provisioning_service_pb2 as provisioning
from poleward.v1 import release_service_pb2 as releases
from poleward.v1 import telemetry_service_pb2 as telemetry
from poleward_tools.client import views


def area_message(area: views.Area) -> inventory.Area:
    """Convert an area."""
    return inventory.Area(code=area.code, name=area.name, parent_code=area.parent_code)


def area_view(area: inventory.Area) -> views.Area:
    """Convert an area."""
    return views.Area(area.code, area.name, area.parent_code)


def pole_message(pole: views.Pole) -> inventory.Pole:
    """Convert a pole."""
    return inventory.Pole(
        code=pole.code,
        area_code=pole.area_code,
        latitude_deg=pole.latitude_deg,
        longitude_deg=pole.longitude_deg,
        equipment=pole.equipment,
        lamp_nominal_w=pole.lamp_nominal_w,
    )


def pole_view(found: inventory.PoleView) -> views.PoleView:
    """Convert a pole with its node."""
    pole = found.pole
    return views.PoleView(
        pole=views.Pole(
            code=pole.code,
            area_code=pole.area_code,
            latitude_deg=pole.latitude_deg,
            longitude_deg=pole.longitude_deg,
            lamp_nominal_w=pole.lamp_nominal_w,
            equipment=tuple(pole.equipment),
        ),
        node=node_view(found.node) if found.HasField("node") else None,
    )


def node_view(node: inventory.Node) -> views.Node:
    """Convert a node."""
    return views.Node(
        number=node.number,
        endpoint_name=node.endpoint_name,
        life_state=node.life_state,
        link_state=node.link_state,
        heard_at_ms=node.heard_at_ms,
        bundle_version=node.bundle_version,
        release_sequence=node.release_sequence,
        pole_code=node.pole_code,
        gateway_name=node.gateway_name,
    )


NODE_STEPS = {
    "commission": provisioning.NODE_STEP_COMMISSION,
    "move": provisioning.NODE_STEP_MOVE,
    "rotate": provisioning.NODE_STEP_ROTATE,
    "quarantine": provisioning.NODE_STEP_QUARANTINE,
    "release": provisioning.NODE_STEP_RELEASE,
    "lost": provisioning.NODE_STEP_LOSE,
    "decommission": provisioning.NODE_STEP_DECOMMISSION,
}


def node_life_view(life: provisioning.NodeLife) -> views.NodeLife:
    """Convert where a node stands in its life; steps that this client does not know are left."""
    return views.NodeLife(
        number=life.number,
        mac=life.mac,
        life_state=life.life_state,
        life_since_ms=life.life_since_ms,
        life_reason=life.life_reason,
        board_profile=life.board_profile,
        pole_code=life.pole_code,
        gateway_name=life.gateway_name,
        next_steps=tuple(word for word, step in NODE_STEPS.items() if step in life.next_steps),
    )


def stranger_view(stranger: provisioning.Stranger) -> views.Stranger:
    """Convert a stranger."""
    return views.Stranger(
        gateway_name=stranger.gateway_name,
        kind=stranger.kind,
        key_id=stranger.key_id,
        node_number=stranger.node_number,
        peer=stranger.peer,
        first_seen_at_ms=stranger.first_seen_at_ms,
        last_seen_at_ms=stranger.last_seen_at_ms,
        attempts=stranger.attempts,
    )


def latest_view(value: inventory.LatestValue) -> views.LatestValue:
    """Convert a latest value."""
    return views.LatestValue(value.metric, value.instance, value.value, value.measured_at_ms)


def gateway_view(gateway: inventory.Gateway) -> views.Gateway:
    """Convert a gateway."""
    return views.Gateway(
        name=gateway.name,
        area_code=gateway.area_code,
        connected=gateway.connected,
        heard_at_ms=gateway.heard_at_ms,
        software_version=gateway.software_version,
        node_count=gateway.node_count,
    )


def manufactured_message(node: views.ManufacturedNode) -> provisioning.ManufacturedNode:
    """Convert a node from the factory."""
    return provisioning.ManufacturedNode(
        mac=node.mac.hex(),
        bootstrap_secret=node.bootstrap_secret,
        bootstrap_salt=node.bootstrap_salt,
        claim_code_hash=node.claim_code_hash,
        board_profile=node.board_profile,
    )


def permit_message(permit: views.StationPermit) -> provisioning.StationPermit:
    """Convert a station's permit."""
    return provisioning.StationPermit(
        station_key=permit.station_key,
        station_name=permit.station_name,
        quota=permit.quota,
        expires_at_ms=permit.expires_at_ms,
    )


def release_view(release: releases.Release) -> views.Release:
    """Convert a release."""
    return views.Release(
        digest=release.digest,
        version=release.version,
        sequence=release.sequence,
        board_profile=release.board_profile,
        published_at_ms=release.published_at_ms,
        notes=release.notes,
        bundle_bytes=release.bundle_bytes,
        image_bytes=release.image_bytes,
        downgrade=release.downgrade,
    )


def affected_view(node: releases.AffectedNode) -> views.AffectedNode:
    """Convert a node that runs an affected component."""
    return views.AffectedNode(
        number=node.node_number,
        endpoint_name=node.endpoint_name,
        pole_code=node.pole_code,
        release_version=node.release_version,
        component_version=node.component_version,
    )


def stored_count_view(count: telemetry.StoredCount) -> views.StoredCount:
    """Convert a stored count."""
    return views.StoredCount(
        node_number=count.node_number,
        boot=count.boot,
        reports=count.reports,
        readings=count.readings,
        first_sequence=count.first_sequence,
        last_sequence=count.last_sequence,
    )
