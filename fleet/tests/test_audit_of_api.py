"""Every method of the API that changes something leaves a record, also when it is a new method."""

import asyncio
import hashlib
import importlib
import json
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from fleet_rig import ADMIN, DISTRICT, Rig, hello, make_csr, make_gateway, manufactured
from poleward_fleet.adapters.grpc.server import _API_SERVICES
from poleward_fleet.assembly import Fleet
from poleward_fleet.domain.accounts import Permission, Principal, Role
from poleward_fleet.domain.approvals import ApprovalNeededError, GuardedAction
from poleward_fleet.domain.commands import CommandStatus
from poleward_fleet.domain.rollout_policy import Policy, Target
from poleward_fleet.domain.telemetry import NodeEvent, Severity
from poleward_fleet.services.gateways import GatewayLink
from poleward_manifest import bundle, trust
from poleward_manifest.envelope import Component, Manifest, sign
from poleward_manifest.envelope import key_id as key_id_of

pytestmark = pytest.mark.system

READING = (
    "List", "Get", "Query", "Export", "Verify", "Watch", "Download", "Preview", "Try",
)  # fmt: skip
# Bytes mean nothing until a release names them; publishing that is recorded.
# Renew is on the gateways' port.
ELSEWHERE = {"ArtifactService/Upload", "EnrollmentService/Renew"}
KEY = Ed25519PrivateKey.generate()
VISIT_ID = str(uuid.uuid4())
BUNDLE = bundle.pack({"node/app.mpy": b"bundle" * 100})
HEAD = b"code,area_code,latitude_deg,longitude_deg,lamp_nominal_w\n"


def _modules() -> dict[str, Any]:
    found = {}
    for service in _API_SERVICES:
        stem = "".join(f"_{c.lower()}" if c.isupper() else c for c in service).strip("_")
        found[service] = importlib.import_module(f"poleward.v1.{stem}_pb2")
    return found


MODULES = _modules()


def changing_methods() -> set[str]:
    """Name every method that is not for reading."""
    return {
        f"{service}/{method.name}"
        for service, module in MODULES.items()
        for method in module.DESCRIPTOR.services_by_name[service].methods
        if not method.name.startswith(READING)
    } - ELSEWHERE


NODE_STEP_ROTATE = MODULES["ProvisioningService"].NODE_STEP_ROTATE


class Caller:
    """Calls methods by name, as the administrator."""

    def __init__(self, rig: Rig, channel: Any, tasks: asyncio.TaskGroup) -> None:
        self.rig = rig
        self.channel = channel
        self.tasks = tasks
        self.link: GatewayLink | None = None
        self.rollout = 0

    async def __call__(self, method: str, **values: Any) -> Any:
        service, name = method.split("/")
        module = MODULES[service]
        described = module.DESCRIPTOR.services_by_name[service].methods_by_name[name]
        request = getattr(module, described.input_type.name)(**values)
        stubs = importlib.import_module(module.__name__ + "_grpc")
        call = getattr(getattr(stubs, f"{service}Stub")(self.channel), name)
        if not described.client_streaming:
            return await call(request, metadata=self.rig.metadata)
        return [one async for one in call(iter([request]), metadata=self.rig.metadata)][-1]


async def enroll(call: Caller) -> None:
    token, _ = await call.rig.fleet.enrollment.create_token(
        ADMIN, gateway_name="gw-1", area_code=DISTRICT, valid_s=0
    )
    await call("EnrollmentService/Enroll", token=token, csr_pem=make_csr()[1])
    call.link, _ = await call.rig.fleet.links.open("gw-1", hello())
    call.tasks.create_task(refuse_commands(call.rig.fleet, call.link))


async def refuse_commands(fleet: Fleet, link: GatewayLink) -> None:
    """Answer as a gateway whose nodes carry nothing out, until its link is closed."""
    async for message in fleet.links.messages(link):
        for command in message if isinstance(message, tuple) else ():
            await fleet.commands.finished(
                link,
                command.command_id,
                status=CommandStatus.REFUSED,
                detail="",
                finished_at_ms=1,
            )


async def import_nodes(call: Caller) -> None:
    await call(
        "ProvisioningService/ImportNodes",
        nodes=[
            MODULES["ProvisioningService"].ManufacturedNode(
                mac=node.mac,
                bootstrap_secret=node.bootstrap_secret,
                bootstrap_salt=node.bootstrap_salt,
                claim_code_hash=node.claim_code_hash,
                board_profile="pole-basic",
            )
            for node in (manufactured(1), manufactured(2))
        ],
        permit=MODULES["ProvisioningService"].StationPermit(
            station_key=bytes(32), station_name="bench", quota=2, expires_at_ms=4_000_000_000_000
        ),
    )


async def decide(call: Caller) -> None:
    with pytest.raises(ApprovalNeededError) as needed:
        await call.rig.fleet.approvals.require(
            Principal("olga", frozenset({Role.SECURITY_OFFICER})),
            GuardedAction("release_key.revoke", "k", Permission.TRUST_KEYS),
        )
    await call("ApprovalService/DecideApproval", number=needed.value.approval.number, decision=1)


async def end_session(call: Caller) -> None:
    password = json.loads((call.rig.data_dir / "admin.json").read_text())["password"]
    await call.rig.fleet.accounts.login("admin", password, remote="::1")
    (session,) = await call.rig.fleet.administration.sessions(ADMIN)
    await call("AccountService/EndSession", number=session.number)


async def publish_document(call: Caller) -> None:
    role = trust.Role((KEY.public_key().public_bytes_raw(),), 1)
    document = trust.TrustDocument(1, 2_000_000_000, role, role, trust.Role((), 1))
    await call("TrustService/PublishDocument", document=trust.sign(document, [KEY]))


async def revoke_key(call: Caller) -> None:
    key_id = key_id_of(KEY.public_key().public_bytes_raw())
    request = {"key_id": key_id, "reason": "lost"}
    with pytest.raises(grpc.aio.AioRpcError):
        await call("TrustService/RevokeKey", **request)
    (approval, *_) = await call.rig.fleet.approvals.approvals(ADMIN)
    await call.rig.fleet.approvals.approve(
        Principal("olga", frozenset({Role.SECURITY_OFFICER})), approval.number
    )
    await call("TrustService/RevokeKey", **request)


async def publish(call: Caller) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield BUNDLE

    digest = hashlib.sha256(BUNDLE).digest()
    await call.rig.fleet.artifacts.write(digest, len(BUNDLE), 0, pieces())
    manifest = Manifest(2, "1.2.0", "pole-basic", Component.of_bundle(BUNDLE))
    await call("ReleaseService/PublishRelease", envelope=sign(manifest, [KEY]))


async def roll_out(call: Caller) -> None:
    (release,) = await call.rig.fleet.releases.releases(ADMIN)
    made = await call("RolloutService/CreateRollout", release_digest=release.digest)
    call.rollout = made.rollout.number


async def approve_rollout(call: Caller) -> None:
    (release,) = await call.rig.fleet.releases.releases(ADMIN)
    proposed = await call.rig.fleet.rollouts.create(
        Principal("rae", frozenset({Role.RELEASE_MANAGER})),
        release.digest,
        Target(),
        Policy(needs_approval=True),
    )
    await call("RolloutService/ApproveRollout", number=proposed.number)


async def press_call(call: Caller) -> None:
    assert call.link is not None
    pressed = NodeEvent(1, 1, 1, 1_800_000_000_000, "sos.pressed", Severity.CRITICAL)
    await call.rig.fleet.ingest.events(call.link, 1, [pressed])
    await call("AlarmService/AcknowledgeAlarm", number=1)


async def replace_gateway(call: Caller) -> None:
    await make_gateway(call.rig.fleet, "gw-2")
    await call("EnrollmentService/ReplaceGateway", gateway_name="gw-1", successor_name="gw-2")


def visit(method: str, **values: Any) -> Callable[[Caller], Awaitable[Any]]:
    return lambda call: call(f"CommissioningService/{method}", visit_id=VISIT_ID, **values)


def lighting(method: str, **values: Any) -> Callable[[Caller], Awaitable[Any]]:
    return lambda call: call(f"LightingService/{method}", **values)


STEPS: dict[str, Callable[[Caller], Awaitable[Any]]] = {
    "InventoryService/CreateAreas": lambda call: call(
        "InventoryService/CreateAreas",
        areas=[{"code": "330109000000", "name": "萧山区", "parent_code": "330100000000"}],
    ),
    "InventoryService/ImportPoles": lambda call: call(
        "InventoryService/ImportPoles",
        poles=[{"code": "P-1", "area_code": DISTRICT, "latitude_deg": 30, "longitude_deg": 120}],
    ),
    "BulkService/ImportTable": lambda call: call(
        "BulkService/ImportTable", table="poles", data=HEAD + f"P-2,{DISTRICT},30,120,60".encode()
    ),
    "EnrollmentService/CreateEnrollmentToken": lambda call: call(
        "EnrollmentService/CreateEnrollmentToken", gateway_name="gw-3", area_code=DISTRICT
    ),
    "EnrollmentService/Enroll": enroll,
    "ProvisioningService/ImportNodes": import_nodes,
    "ProvisioningService/Commission": lambda call: call(
        "ProvisioningService/Commission",
        mac=manufactured(1).mac, claim_code="claim-1", pole_code="P-1", gateway_name="gw-1",
    ),
    "ProvisioningService/TakeNodeStep": lambda call: call(
        "ProvisioningService/TakeNodeStep", step=NODE_STEP_ROTATE, names=["1"]
    ),
    "CommissioningService/MakeWorkOrder": lambda call: call(
        "CommissioningService/MakeWorkOrder", gateway_name="gw-1", macs=[manufactured(2).mac]
    ),
    "CommissioningService/RevokeWorkOrder": lambda call: call(
        "CommissioningService/RevokeWorkOrder", gateway_name="gw-1"
    ),
    "CommissioningService/BeginVisit": visit(
        "BeginVisit", mac=manufactured(2).mac, claim_code="claim-2", pole_code="P-2"
    ),
    "CommissioningService/BlinkLamp": visit("BlinkLamp"),
    "CommissioningService/SignVisit": visit("SignVisit", note="no link yet"),
    "InventoryService/SetPoleLamp": lambda call: call(
        "InventoryService/SetPoleLamp", pole_code="P-1", level_percent=30
    ),
    "AlarmService/AcknowledgeAlarm": press_call,
    "AlarmService/ClearAlarm": lambda call: call("AlarmService/ClearAlarm", number=1),
    "LabelService/ChangeLabels": lambda call: call(
        "LabelService/ChangeLabels", pole_codes=["P-1"], add=["main-road"]
    ),
    "LightingService/PutProgram": lighting(
        "PutProgram", program={"name": "street", "time_zone": "UTC", "rules": "||S;R|100;0"}
    ),
    "LightingService/AssignProgram": lighting(
        "AssignProgram", program="street", pole_codes=["P-1"]
    ),
    "LightingService/PutGroup": lighting(
        "PutGroup", group={"name": "one", "pole_codes": ["P-1"]}
    ),
    "LightingService/PutScene": lighting(
        "PutScene", scene={"name": "match", "parts": [{"group": "one", "level_percent": 80}]}
    ),
    "LightingService/PutRule": lighting(
        "PutRule",
        rule={
            "name": "call",
            "event": {"kind": "sos.pressed"},
            "actions": [{"dim": {"level_percent": 100, "duration_s": 600, "neighbours_m": 60}}],
        },
    ),
    "LightingService/DimGroup": lighting("DimGroup", group="one", level_percent=30),
    "LightingService/RunScene": lighting("RunScene", scene="match"),
    "LightingService/AnswerCall": lighting("AnswerCall", pole_code="P-1"),
    "LightingService/RemoveLighting": lighting("RemoveLighting", kind=4, name="call"),
    "AccountService/PutAccount": lambda call: call(
        "AccountService/PutAccount", name="mei", roles=["viewer"]
    ),
    "AccountService/CreateApiToken": lambda call: call("AccountService/CreateApiToken", name="mei"),
    "AccountService/RevokeApiTokens": lambda call: call(
        "AccountService/RevokeApiTokens", name="mei"
    ),
    "AccountService/DropAccount": lambda call: call("AccountService/DropAccount", name="mei"),
    "AccountService/EndSession": end_session,
    "ApprovalService/DecideApproval": decide,
    "TrustService/TrustKey": lambda call: call(
        "TrustService/TrustKey", public_key=KEY.public_key().public_bytes_raw(), name="k"
    ),
    "TrustService/PublishDocument": publish_document,
    "ReleaseService/PublishRelease": publish,
    "RolloutService/CreateRollout": roll_out,
    "RolloutService/PauseRollout": lambda call: call(
        "RolloutService/PauseRollout", number=call.rollout
    ),
    "RolloutService/ResumeRollout": lambda call: call(
        "RolloutService/ResumeRollout", number=call.rollout
    ),
    "RolloutService/AbortRollout": lambda call: call(
        "RolloutService/AbortRollout", number=call.rollout
    ),
    "RolloutService/ApproveRollout": approve_rollout,
    "TrustService/MakeDirectiveKey": lambda call: call("TrustService/MakeDirectiveKey"),
    "TrustService/RevokeKey": revoke_key,
    "EnrollmentService/ReplaceGateway": replace_gateway,
    "EnrollmentService/RevokeGateway": lambda call: call(
        "EnrollmentService/RevokeGateway", gateway_name="gw-2"
    ),
}  # fmt: skip


async def test_every_method_that_changes_something_leaves_a_record(rig: Rig) -> None:
    assert set(STEPS) == changing_methods(), "add a step for each new method, or say why not"
    async with rig.api() as channel, asyncio.TaskGroup() as tasks:
        call = Caller(rig, channel, tasks)
        for method, step in STEPS.items():
            before = await rig.fleet.audit.check(ADMIN)
            await step(call)
            after = await rig.fleet.audit.check(ADMIN)
            assert after.records > before.records, f"{method} leaves no record"
            assert after.broken is None
