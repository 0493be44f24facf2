"""LabelService on the API port.

Not the rules (services/labels.py).
"""

from typing import Any

import grpc.aio

from poleward.v1 import label_service_pb2 as label_pb
from poleward.v1 import label_service_pb2_grpc
from poleward_fleet.adapters.grpc.callers import principal_of
from poleward_fleet.services.accounts import AccountService
from poleward_fleet.services.labels import LabelService

_Context = grpc.aio.ServicerContext[Any, Any]


class LabelServicer(label_service_pb2_grpc.LabelServiceServicer):
    """Labels of poles."""

    def __init__(self, accounts: AccountService, labels: LabelService) -> None:
        self._accounts = accounts
        self._labels = labels

    async def ChangeLabels(
        self, request: label_pb.ChangeLabelsRequest, context: _Context
    ) -> label_pb.ChangeLabelsResponse:
        """Give labels to poles and take labels away."""
        principal = await principal_of(self._accounts, context)
        await self._labels.change(
            principal, request.pole_codes, add=request.add, remove=request.remove
        )
        return label_pb.ChangeLabelsResponse()

    async def ListLabels(
        self, request: label_pb.ListLabelsRequest, context: _Context
    ) -> label_pb.ListLabelsResponse:
        """List the labels in the caller's area."""
        principal = await principal_of(self._accounts, context)
        return label_pb.ListLabelsResponse(
            labels=[
                label_pb.LabelCount(label=count.label, poles=count.poles)
                for count in await self._labels.labels(principal)
            ]
        )
