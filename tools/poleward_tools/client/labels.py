"""The part of the fleet's API that is about labels of poles, as typed calls on plain values.

`FleetClient` carries it; see there for what all calls have in common.
"""

from collections.abc import Iterable

import grpc

from poleward.v1 import label_service_pb2 as labels
from poleward.v1.label_service_pb2_grpc import LabelServiceStub
from poleward_tools.client.errors import translated

_TIMEOUT_S = 30.0


class LabelCalls:
    """Labels: change, count."""

    def __init__(self, channel: grpc.Channel, address: str) -> None:
        self._stub = LabelServiceStub(channel)
        self._address = address

    def change(
        self, pole_codes: Iterable[str], add: Iterable[str] = (), remove: Iterable[str] = ()
    ) -> None:
        """Give labels to poles and take labels away, all poles or none."""
        request = labels.ChangeLabelsRequest(pole_codes=pole_codes, add=add, remove=remove)
        with translated("change labels", self._address):
            self._stub.ChangeLabels(request, timeout=_TIMEOUT_S)

    def counts(self) -> dict[str, int]:
        """Get how many poles carry each label, by name."""
        with translated("list labels", self._address):
            answer = self._stub.ListLabels(labels.ListLabelsRequest(), timeout=_TIMEOUT_S)
        return {count.label: count.poles for count in answer.labels}
