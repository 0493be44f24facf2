"""The port of people and programs: nodes from the factory to their end, gateways that join.

Not what stands in the city (api_services.py).
"""

from typing import Any

import grpc

from poleward.v1 import enrollment_service_pb2 as enrollment_pb
from poleward.v1 import enrollment_service_pb2_grpc, provisioning_service_pb2_grpc
from poleward.v1 import provisioning_service_pb2 as provisioning_pb
from poleward_fleet.adapters.grpc.callers import principal_of
from poleward_fleet.domain.errors import ForbiddenError, InvalidError
from poleward_fleet.domain.identity import ManufacturedNode, NodeIdentity, StationPermit
from poleward_fleet.domain.life_cycle import Step, steps_from
from poleward_fleet.domain.strangers import Stranger
from poleward_fleet.services.accounts import AccountService
from poleward_fleet.services.enrollment import EnrollmentService
from poleward_fleet.services.node_life import NodeLifeService
from poleward_fleet.services.provisioning import ProvisioningService
from poleward_fleet.services.strangers import StrangerService

_Context = grpc.aio.ServicerContext[Any, Any]
_STEPS: dict["provisioning_pb.NodeStep.ValueType", Step] = {
    provisioning_pb.NODE_STEP_COMMISSION: Step.COMMISSION,
    provisioning_pb.NODE_STEP_MOVE: Step.MOVE,
    provisioning_pb.NODE_STEP_ROTATE: Step.ROTATE,
    provisioning_pb.NODE_STEP_QUARANTINE: Step.QUARANTINE,
    provisioning_pb.NODE_STEP_RELEASE: Step.RELEASE,
    provisioning_pb.NODE_STEP_LOSE: Step.LOSE,
    provisioning_pb.NODE_STEP_DECOMMISSION: Step.DECOMMISSION,
}


class ProvisioningServicer(provisioning_service_pb2_grpc.ProvisioningServiceServicer):
    """Nodes from the factory into poles."""

    def __init__(
        self,
        accounts: AccountService,
        provisioning: ProvisioningService,
        lives: NodeLifeService,
        strangers: StrangerService,
    ) -> None:
        self._accounts = accounts
        self._provisioning = provisioning
        self._lives = lives
        self._strangers = strangers

    async def ImportNodes(
        self, request: provisioning_pb.ImportNodesRequest, context: _Context
    ) -> provisioning_pb.ImportNodesResponse:
        """Register flashed nodes, all or none."""
        principal = await principal_of(self._accounts, context)
        nodes = [
            ManufacturedNode(
                mac=node.mac,
                bootstrap_secret=node.bootstrap_secret,
                bootstrap_salt=node.bootstrap_salt,
                claim_code_hash=node.claim_code_hash,
                board_profile=node.board_profile,
            )
            for node in request.nodes
        ]
        permit = _permit(request.permit) if request.HasField("permit") else None
        numbers = await self._provisioning.import_nodes(principal, nodes, permit)
        return provisioning_pb.ImportNodesResponse(node_numbers=numbers)

    async def Commission(
        self, request: provisioning_pb.CommissionRequest, context: _Context
    ) -> provisioning_pb.CommissionResponse:
        """Put a node into a pole behind a gateway, signed off unless the caller only claims it."""
        principal = await principal_of(self._accounts, context)
        number = await self._provisioning.claim(
            principal,
            mac=request.mac,
            claim_code=request.claim_code,
            pole_code=request.pole_code,
            gateway_name=request.gateway_name,
            report_interval_s=request.report_interval_s,
            swap=request.swap,
            sign_off=not request.claim_only,
        )
        return provisioning_pb.CommissionResponse(node_number=number)

    async def GetNode(
        self, request: provisioning_pb.GetNodeRequest, context: _Context
    ) -> provisioning_pb.GetNodeResponse:
        """Return where a node stands in its life."""
        principal = await principal_of(self._accounts, context)
        found = await self._lives.node(principal, request.name)
        return provisioning_pb.GetNodeResponse(node=_life(found))

    async def TakeNodeStep(
        self, request: provisioning_pb.TakeNodeStepRequest, context: _Context
    ) -> provisioning_pb.TakeNodeStepResponse:
        """Move nodes on in their lives."""
        principal = await principal_of(self._accounts, context)
        if request.step not in _STEPS:
            raise InvalidError("say which step")
        nodes = await self._lives.take_step(
            principal,
            _STEPS[request.step],
            list(request.names),
            gateway_name=request.gateway_name,
            reason=request.reason,
        )
        return provisioning_pb.TakeNodeStepResponse(nodes=[_life(node) for node in nodes])

    async def ListStrangers(
        self, request: provisioning_pb.ListStrangersRequest, context: _Context
    ) -> provisioning_pb.ListStrangersResponse:
        """List whom gateways refused."""
        principal = await principal_of(self._accounts, context)
        found = await self._strangers.strangers(principal)
        return provisioning_pb.ListStrangersResponse(strangers=map(_stranger, found))


def _stranger(stranger: Stranger) -> provisioning_pb.Stranger:
    seen = stranger.sighting
    return provisioning_pb.Stranger(
        gateway_name=stranger.gateway_name,
        kind=stranger.kind.value,
        key_id=seen.key_id.hex(),
        node_number=stranger.node_number,
        peer=seen.peer,
        first_seen_at_ms=seen.first_seen_at_ms,
        last_seen_at_ms=seen.last_seen_at_ms,
        attempts=seen.attempts,
    )


def _permit(permit: provisioning_pb.StationPermit) -> StationPermit:
    return StationPermit(
        permit.station_key, permit.station_name, permit.quota, permit.expires_at_ms
    )


def _life(node: NodeIdentity) -> provisioning_pb.NodeLife:
    steps = steps_from(node.life_state)
    return provisioning_pb.NodeLife(
        number=node.number,
        mac=node.mac,
        life_state=node.life_state.value,
        life_since_ms=node.life_since_ms,
        life_reason=node.life_reason,
        board_profile=node.board_profile,
        pole_code=node.pole_code,
        gateway_name=node.gateway_name,
        next_steps=[message for message, step in _STEPS.items() if step in steps],
    )


class EnrollmentServicer(enrollment_service_pb2_grpc.EnrollmentServiceServicer):
    """How gateways join.

    Args:
        accounts: Who calls.
        enrollment: The use cases.
        ca_pem: The CA certificate.
        link_address: host:port of the gateways' port.
    """

    def __init__(
        self,
        accounts: AccountService,
        enrollment: EnrollmentService,
        ca_pem: str,
        link_address: str,
    ) -> None:
        self._accounts = accounts
        self._enrollment = enrollment
        self._ca_pem = ca_pem
        self._link_address = link_address

    async def CreateEnrollmentToken(
        self, request: enrollment_pb.CreateEnrollmentTokenRequest, context: _Context
    ) -> enrollment_pb.CreateEnrollmentTokenResponse:
        """Make a one-time token."""
        principal = await principal_of(self._accounts, context)
        token, expires_at_ms = await self._enrollment.create_token(
            principal,
            gateway_name=request.gateway_name,
            area_code=request.area_code,
            valid_s=request.valid_s,
        )
        return enrollment_pb.CreateEnrollmentTokenResponse(token=token, expires_at_ms=expires_at_ms)

    async def Enroll(
        self, request: enrollment_pb.EnrollRequest, context: _Context
    ) -> enrollment_pb.EnrollResponse:
        """Exchange a one-time token for a certificate; the token is the only credential."""
        name, certificate = await self._enrollment.enroll(request.token, request.csr_pem)
        return enrollment_pb.EnrollResponse(
            gateway_name=name,
            certificate_pem=certificate.pem,
            ca_pem=self._ca_pem,
            link_address=self._link_address,
        )

    async def Renew(
        self, request: enrollment_pb.RenewRequest, context: _Context
    ) -> enrollment_pb.RenewResponse:
        """Refuse: renewal needs the certificate."""
        raise ForbiddenError("renew on the link port, with the gateway's certificate")

    async def RevokeGateway(
        self, request: enrollment_pb.RevokeGatewayRequest, context: _Context
    ) -> enrollment_pb.RevokeGatewayResponse:
        """Make a gateway's certificates worthless."""
        principal = await principal_of(self._accounts, context)
        await self._enrollment.revoke(principal, request.gateway_name, reason=request.reason)
        return enrollment_pb.RevokeGatewayResponse()

    async def ReplaceGateway(
        self, request: enrollment_pb.ReplaceGatewayRequest, context: _Context
    ) -> enrollment_pb.ReplaceGatewayResponse:
        """Have another gateway serve the nodes of one that is gone."""
        principal = await principal_of(self._accounts, context)
        moved = await self._enrollment.replace(
            principal, request.gateway_name, request.successor_name, reason=request.reason
        )
        return enrollment_pb.ReplaceGatewayResponse(moved=moved)
