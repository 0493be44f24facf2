"""Commands."""

from poleward_fleet.migrations.statements import drop, execute

revision = "0003"
down_revision = "0002"

_TABLES = """
CREATE TABLE command (
    id bytea CONSTRAINT command_pkey PRIMARY KEY,
    node_number integer NOT NULL CONSTRAINT command_node_fkey REFERENCES node (number),
    gateway_name text NOT NULL CONSTRAINT command_gateway_fkey REFERENCES gateway (name),
    action jsonb NOT NULL,
    created_at_ms bigint NOT NULL,
    created_by text NOT NULL,
    deadline_ms bigint NOT NULL,
    status text NOT NULL CONSTRAINT command_status_known
        CHECK (status IN ('pending', 'done', 'expired', 'refused', 'unreachable')),
    detail text NOT NULL DEFAULT '',
    finished_at_ms bigint
);
CREATE INDEX command_pending_idx ON command (gateway_name) WHERE status = 'pending';
"""


def upgrade() -> None:
    """Make the tables."""
    execute(_TABLES)


def downgrade() -> None:
    """Drop the tables."""
    drop("command")
