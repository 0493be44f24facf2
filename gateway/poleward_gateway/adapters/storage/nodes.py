"""What the gateway remembers about its nodes: desired state, registrations, progress of updates.

Not their reports (spool.py) and not their sequence numbers (sequence_numbers.py).
"""

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from poleward_gateway.adapters.storage.database import Database
from poleward_gateway.domain.nodes import (
    DesiredChange,
    DesiredNode,
    NodeNumber,
    NodeTask,
    OscoreKeys,
    Registration,
)
from poleward_gateway.domain.trust import Signers
from poleward_gateway.domain.updates import (
    NO_RELEASE,
    DesiredRelease,
    InstallTime,
    NodeUpdate,
    UpdateState,
)
from poleward_gateway.ports.stores import SecretBox


@dataclass(frozen=True, slots=True)
class _Header:
    """Desired state besides the nodes."""

    revision: int
    signers: Signers
    trust_documents: tuple[bytes, ...]
    own_release: DesiredRelease


class SqliteDesiredStore:
    """Implements the port DesiredStore; reads are answered from memory."""

    def __init__(self, database: Database, box: SecretBox) -> None:
        self._database = database
        self._box = box
        self._nodes = database.read_now(lambda connection: _load_desired(connection, box))
        self._header = database.read_now(_load_header)

    def revision(self) -> int:
        """Return the revision that is stored; 0 for none."""
        return self._header.revision

    def nodes(self) -> list[DesiredNode]:
        """Return every node."""
        return list(self._nodes.values())

    def signers(self) -> Signers:
        """Return who may sign releases, as the fleet says."""
        return self._header.signers

    def trust_documents(self) -> tuple[bytes, ...]:
        """Return the digest of each trust document that the fleet has, from number 1 on."""
        return self._header.trust_documents

    def own_release(self) -> DesiredRelease:
        """Return what the gateway itself should run."""
        return self._header.own_release

    async def apply(self, change: DesiredChange) -> None:
        """Store a change; returns after the commit.

        Raises:
            StorageError: It is not stored; nothing changed.
        """
        nodes = {
            number: node
            for number, node in self._nodes.items()
            if node.is_adopted or not change.complete
        }
        for node in change.nodes:
            nodes[node.number] = node
        for number in change.removed:
            nodes.pop(number, None)
        rows = [(node.number, _node_to_text(node, self._box)) for node in change.nodes]
        gone = [(number,) for number in self._nodes if number not in nodes]
        header = _Header(
            change.revision, change.signers, change.trust_documents, change.own_release
        )

        def write(connection: sqlite3.Connection) -> None:
            connection.executemany("DELETE FROM desired_node WHERE number = ?", gone)
            connection.executemany(
                "INSERT INTO desired_node (number, body) VALUES (?, ?)"
                " ON CONFLICT (number) DO UPDATE SET body = excluded.body",
                rows,
            )
            connection.execute(
                "INSERT INTO meta (name, value) VALUES ('desired', ?)"
                " ON CONFLICT (name) DO UPDATE SET value = excluded.value",
                (_header_to_text(header),),
            )

        await self._database.run(write)
        self._nodes = nodes
        self._header = header


class SqliteRegistrationStore:
    """Implements the port RegistrationStore."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._stored = database.read_now(_load_registrations)

    def registrations(self) -> dict[NodeNumber, Registration]:
        """Return what is stored."""
        return self._stored

    async def save(self, changed: Sequence[Registration], ended: Sequence[NodeNumber]) -> None:
        """Store some and forget others; returns after the commit."""
        rows = [(r.node, r.until_ms, r.heard_at_ms, r.is_queued, r.where) for r in changed]

        def write(connection: sqlite3.Connection) -> None:
            connection.executemany(
                "INSERT OR REPLACE INTO registration"
                " (node, until_ms, heard_at_ms, is_queued, location) VALUES (?, ?, ?, ?, ?)",
                rows,
            )
            connection.executemany(
                "DELETE FROM registration WHERE node = ?", [(node,) for node in ended]
            )

        await self._database.run(write)
        self._stored |= {registration.node: registration for registration in changed}
        for node in ended:
            self._stored.pop(node, None)


class SqliteUpdateStore:
    """Implements the port UpdateStore."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._progress = database.read_now(_load_updates)

    def progress(self) -> dict[NodeNumber, NodeUpdate]:
        """Return the progress of every node that has any."""
        return dict(self._progress)

    async def save(self, node: NodeNumber, update: NodeUpdate | None) -> None:
        """Store or forget the progress of a node."""

        def write(connection: sqlite3.Connection) -> None:
            if update is None:
                connection.execute("DELETE FROM node_update WHERE node = ?", (node,))
                return
            connection.execute(
                "INSERT OR REPLACE INTO node_update (node, release_digest, state, reason)"
                " VALUES (?, ?, ?, ?)",
                (node, update.release_digest, update.state.value, update.reason),
            )

        await self._database.run(write)
        if update is None:
            self._progress.pop(node, None)
        else:
            self._progress[node] = update


def _load_desired(connection: sqlite3.Connection, box: SecretBox) -> dict[NodeNumber, DesiredNode]:
    """Read every node."""
    nodes = {}
    for number, body in connection.execute("SELECT number, body FROM desired_node"):
        nodes[NodeNumber(number)] = _node_from_text(NodeNumber(number), body, box)
    return nodes


def _load_header(connection: sqlite3.Connection) -> _Header:
    """Read what is desired besides nodes."""
    row = connection.execute("SELECT value FROM meta WHERE name = 'desired'").fetchone()
    if row is None:
        return _Header(0, Signers((), 1), (), NO_RELEASE)
    fields = json.loads(row[0])
    return _Header(
        fields["revision"],
        Signers(_bytes_from_fields(fields["release_keys"]), fields["release_threshold"]),
        _bytes_from_fields(fields["trust_documents"]),
        _release_from_fields(fields["own_release"]),
    )


def _header_to_text(header: _Header) -> str:
    """Encode as JSON; the inverse of `_load_header`."""
    return json.dumps(
        {
            "revision": header.revision,
            "release_keys": [key.hex() for key in header.signers.keys],
            "release_threshold": header.signers.threshold,
            "trust_documents": [digest.hex() for digest in header.trust_documents],
            "own_release": _release_to_fields(header.own_release),
        }
    )


def _bytes_from_fields(fields: list[str]) -> tuple[bytes, ...]:
    return tuple(bytes.fromhex(field) for field in fields)


def _load_registrations(connection: sqlite3.Connection) -> dict[NodeNumber, Registration]:
    """Read every registration."""
    rows = connection.execute(
        "SELECT node, until_ms, heard_at_ms, is_queued, location FROM registration"
    )
    return {
        NodeNumber(node): Registration(
            NodeNumber(node), until_ms, heard_at_ms, bool(is_queued), where
        )
        for node, until_ms, heard_at_ms, is_queued, where in rows
    }


def _load_updates(connection: sqlite3.Connection) -> dict[NodeNumber, NodeUpdate]:
    """Read the progress of updates."""
    rows = connection.execute("SELECT node, release_digest, state, reason FROM node_update")
    return {
        NodeNumber(node): NodeUpdate(digest, UpdateState(state), reason)
        for node, digest, state, reason in rows
    }


def _node_to_text(node: DesiredNode, box: SecretBox) -> str:
    """Encode a node as JSON; the inverse of `_node_from_text`."""
    return json.dumps(
        {
            "endpoint_name": node.endpoint_name,
            "keys": box.seal(
                json.dumps(
                    [_keys_to_fields(node.bootstrap), _keys_to_fields(node.operational)]
                ).encode(),
                f"node {node.number}",
            ).hex(),
            "report_interval_s": node.report_interval_s,
            "release": _release_to_fields(node.release),
            "lamp_nominal_w": node.lamp_nominal_w,
            "task": node.task.value,
            "gateway_uri": node.gateway_uri,
            "is_adopted": node.is_adopted,
        }
    )


def _node_from_text(number: NodeNumber, text: str, box: SecretBox) -> DesiredNode:
    """Decode a node from JSON; the inverse of `_node_to_text`."""
    fields: dict[str, Any] = json.loads(text)
    keys = json.loads(box.open(bytes.fromhex(fields["keys"]), f"node {number}"))
    return DesiredNode(
        number=number,
        endpoint_name=fields["endpoint_name"],
        bootstrap=_keys_from_fields(keys[0]),
        operational=_keys_from_fields(keys[1]),
        report_interval_s=fields["report_interval_s"],
        release=_release_from_fields(fields["release"]),
        lamp_nominal_w=fields["lamp_nominal_w"],
        task=NodeTask(fields["task"]),
        gateway_uri=fields["gateway_uri"],
        is_adopted=fields["is_adopted"],
    )


def _release_to_fields(release: DesiredRelease) -> list[Any]:
    times = [[time.from_s, time.until_s] for time in release.install_times]
    return [release.digest.hex(), release.directive.hex(), times]


def _release_from_fields(fields: list[Any]) -> DesiredRelease:
    digest, directive, times = fields
    return DesiredRelease(
        bytes.fromhex(digest),
        bytes.fromhex(directive),
        tuple(InstallTime(*time) for time in times),
    )


def _keys_to_fields(keys: OscoreKeys) -> list[str]:
    parts = (keys.master_secret, keys.master_salt, keys.node_id, keys.gateway_id)
    return [part.hex() for part in parts]


def _keys_from_fields(fields: list[str]) -> OscoreKeys:
    secret, salt, node_id, gateway_id = (bytes.fromhex(field) for field in fields)
    return OscoreKeys(secret, salt, node_id, gateway_id)
