"""Visits of technicians to poles, and the work orders of gateways."""

from poleward_fleet.migrations.statements import drop, execute

revision = "0007"
down_revision = "0006"

_TABLES = """
CREATE TABLE visit (
    id text CONSTRAINT visit_pkey PRIMARY KEY
        CONSTRAINT visit_id_is_uuid CHECK (id ~ '^[0-9a-f-]{36}$'),
    node_number integer NOT NULL CONSTRAINT visit_node_fkey REFERENCES node (number),
    pole_code text NOT NULL CONSTRAINT visit_pole_fkey REFERENCES pole (code),
    technician text NOT NULL,
    began_at_ms bigint NOT NULL,
    received_at_ms bigint NOT NULL,
    latitude_deg double precision,
    longitude_deg double precision,
    accuracy_m double precision,
    blink_w double precision[] NOT NULL DEFAULT '{}',
    blink_failure text NOT NULL DEFAULT '',
    signed_at_ms bigint NOT NULL DEFAULT 0,
    note text NOT NULL DEFAULT '',
    results jsonb NOT NULL DEFAULT '[]',
    conflict text NOT NULL DEFAULT ''
);
CREATE INDEX visit_pole_idx ON visit (pole_code, began_at_ms);

CREATE TABLE work_order (
    gateway_name text NOT NULL CONSTRAINT work_order_gateway_fkey REFERENCES gateway (name),
    revision bigint NOT NULL,
    made_at_ms bigint NOT NULL,
    content_sealed bytea NOT NULL,
    signature bytea NOT NULL,
    CONSTRAINT work_order_pkey PRIMARY KEY (gateway_name, revision)
);
"""


def upgrade() -> None:
    """Make the tables."""
    execute(_TABLES)


def downgrade() -> None:
    """Drop the tables."""
    drop("work_order visit")
