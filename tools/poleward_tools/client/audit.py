"""The fleet's audit record as typed calls on plain values.

It prints nothing and retries nothing.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import grpc

from poleward.v1 import audit_service_pb2 as audit
from poleward.v1.audit_service_pb2_grpc import AuditServiceStub
from poleward_tools.client.errors import translated

_TIMEOUT_S = 600.0


@dataclass(frozen=True, slots=True)
class AuditRecord:
    """One change; the digest covers it and the record before."""

    number: int
    at_ms: int
    actor: str
    action: str
    subject: str
    detail: dict[str, str]
    digest: bytes


@dataclass(frozen=True, slots=True)
class AuditCheck:
    """What a walk along the chain found; broken_number is 0 when nothing is broken."""

    records: int
    newest_digest: bytes
    broken_number: int
    noted_holds: bool


class AuditCalls:
    """Calls about the audit record on an open channel; every method raises ClientError."""

    def __init__(self, channel: grpc.Channel, address: str) -> None:
        self._address = address
        self._stub = AuditServiceStub(channel)

    def verify(self, noted_number: int = 0, noted_digest: bytes = b"") -> AuditCheck:
        """Have the fleet walk its chain, and look for a record that was noted earlier."""
        request = audit.VerifyAuditRequest(noted_number=noted_number, noted_digest=noted_digest)
        with translated("verify the audit record", self._address):
            found = self._stub.VerifyAudit(request, timeout=_TIMEOUT_S)
        return AuditCheck(
            found.records, found.newest_digest, found.broken_number, found.noted_holds
        )

    def export(
        self,
        *,
        actor: str = "",
        action: str = "",
        subject: str = "",
        from_ms: int = 0,
        to_ms: int = 0,
    ) -> Iterator[AuditRecord]:
        """Yield records, oldest first; 0 is no limit in time."""
        request = audit.ExportAuditRequest(
            actor=actor, action=action, subject=subject, from_ms=from_ms, to_ms=to_ms
        )
        with translated("export the audit record", self._address):
            for page in self._stub.ExportAudit(request, timeout=_TIMEOUT_S):
                for record in page.records:
                    yield AuditRecord(
                        number=record.number,
                        at_ms=record.at_ms,
                        actor=record.actor,
                        action=record.action,
                        subject=record.subject,
                        detail=dict(record.detail),
                        digest=record.digest,
                    )
