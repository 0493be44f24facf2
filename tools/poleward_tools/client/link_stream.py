"""A gateway's end of the link, for load: sends prepared batches of reports, reads what is stored.

Not a gateway: it keeps nothing and serves no nodes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import grpc
import grpc.aio

from poleward.v1 import gateway_link_service_pb2 as link_pb
from poleward.v1 import telemetry_types_pb2 as types_pb
from poleward.v1.gateway_link_service_pb2_grpc import GatewayLinkServiceStub

_EOF: Any = vars(grpc.aio)["EOF"]  # the stubs do not know it
_SEQUENCES = 1 << 31


@dataclass(frozen=True, slots=True)
class LinkCredentials:
    """What mutual TLS to the fleet's link port needs.

    Args:
        address: host:port.
    """

    address: str
    ca_pem: bytes
    key_pem: bytes
    certificate_pem: bytes


class BatchMaker:
    """Makes batches in which each node has one report; batch n holds its n-th report.

    Only numbers and times differ between batches, so that making one costs next to nothing.

    Args:
        nodes: numbers of the nodes.
        metrics: of the one layout.
        values: of all reports, node by node.
        began_at_ms: Unix time of the first reports.
        interval_ms: between reports of a node.
    """

    def __init__(
        self,
        nodes: Sequence[int],
        metrics: Sequence[str],
        values: Sequence[float],
        *,
        began_at_ms: int,
        interval_ms: int,
    ) -> None:
        count = len(nodes)
        self._began_at_ms = began_at_ms
        self._interval_ms = interval_ms
        self._count = count
        # Nodes report one after another, evenly over the interval.
        step_ms = interval_ms // count
        self._message = link_pb.ConnectRequest(
            report_batch=link_pb.ReportBatch(
                reports=types_pb.ReportColumns(
                    layouts=[
                        types_pb.ReportLayout(
                            series=[types_pb.SeriesKey(metric=metric) for metric in metrics]
                        )
                    ],
                    node_number=nodes,
                    boot=[1] * count,
                    sequence=[0] * count,
                    layout=[0] * count,
                    time_delta_ms=[0] + [step_ms] * (count - 1),
                    value=values,
                )
            )
        )

    def batch(self, number: int) -> link_pb.ConnectRequest:
        """Return batch `number`, from 1; valid until the next call."""
        batch = self._message.report_batch
        batch.batch_number = number
        batch.reports.sequence[:] = [(number - 1) % _SEQUENCES] * self._count
        batch.reports.time_delta_ms[0] = self._began_at_ms + (number - 1) * self._interval_ms
        return self._message


class LinkStream:
    """One open stream; a context manager that ends it.

    Every method lets grpc.aio.AioRpcError through: the benchmark then failed.
    """

    def __init__(self, credentials: LinkCredentials) -> None:
        self._channel = grpc.aio.secure_channel(
            credentials.address,
            grpc.ssl_channel_credentials(
                credentials.ca_pem, credentials.key_pem, credentials.certificate_pem
            ),
            [("grpc.max_receive_message_length", 64 * 1024 * 1024)],
        )
        stub: Any = GatewayLinkServiceStub(self._channel)
        self._call: Any = stub.Connect()

    async def __aenter__(self) -> "LinkStream":
        return self

    async def __aexit__(self, *_: object) -> None:
        self._call.cancel()
        await self._channel.close(None)

    async def hello(self, spool_id: str) -> int:
        """Open the conversation; return the highest report batch that is stored."""
        await self._call.write(
            link_pb.ConnectRequest(
                hello=link_pb.Hello(
                    software_version="bench", spool_id=spool_id, coap_uri="coap://127.0.0.1:5683"
                )
            )
        )
        return int((await self._next("welcome")).welcome.stored_report_batch)

    async def send(self, message: link_pb.ConnectRequest) -> None:
        """Send a batch; waits while the fleet takes no more."""
        await self._call.write(message)

    async def acknowledged(self) -> int:
        """Wait for the next acknowledgement; return its batch number."""
        return int((await self._next("report_ack")).report_ack.batch_number)

    async def refusal(self) -> str:
        """Wait for the end of the stream; return why the fleet ended it."""
        return f"{await self._call.code()} {await self._call.details()}"

    async def _next(self, kind: str) -> Any:
        while True:
            message: Any = await self._call.read()
            if message is _EOF:
                raise ConnectionError(f"the fleet ended the stream: {await self._call.details()}")
            if message.WhichOneof("message") == kind:
                return message
