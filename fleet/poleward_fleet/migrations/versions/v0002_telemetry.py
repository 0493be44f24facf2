"""Reports, latest values, events, alarms and how far each spool got."""

from poleward_fleet.migrations.statements import drop, execute

revision = "0002"
down_revision = "0001"

_TABLES = """
CREATE TABLE layout (
    id integer GENERATED ALWAYS AS IDENTITY CONSTRAINT layout_pkey PRIMARY KEY,
    series text[] NOT NULL CONSTRAINT layout_series_key UNIQUE
);

CREATE TABLE report (
    measured_at_ms bigint NOT NULL,
    node_number integer NOT NULL,
    boot integer NOT NULL,
    sequence integer NOT NULL,
    layout_id integer NOT NULL,
    "values" real[] NOT NULL
) PARTITION BY RANGE (measured_at_ms);
CREATE INDEX report_node_time_idx ON report (node_number, measured_at_ms);
CREATE TABLE report_other PARTITION OF report DEFAULT;

CREATE TABLE report_mark (
    node_number integer NOT NULL,
    boot integer NOT NULL,
    stored int8multirange NOT NULL,
    readings bigint NOT NULL,
    CONSTRAINT report_mark_pkey PRIMARY KEY (node_number, boot)
) WITH (fillfactor = 70);

CREATE TABLE packed_day (
    day integer NOT NULL,
    node_number integer NOT NULL,
    layout_id integer NOT NULL,
    reports integer NOT NULL,
    content bytea STORAGE EXTERNAL NOT NULL,
    CONSTRAINT packed_day_pkey PRIMARY KEY (node_number, day, layout_id)
);
CREATE INDEX packed_day_day_idx ON packed_day (day);

CREATE TABLE rollup (
    day integer NOT NULL,
    step_s integer NOT NULL,
    node_number integer NOT NULL,
    layout_id integer NOT NULL,
    content bytea STORAGE EXTERNAL NOT NULL,
    CONSTRAINT rollup_pkey PRIMARY KEY (node_number, step_s, day, layout_id)
);
CREATE INDEX rollup_step_day_idx ON rollup (step_s, day);

CREATE TABLE latest (
    node_number integer NOT NULL,
    layout_id integer NOT NULL,
    measured_at_ms bigint NOT NULL,
    "values" real[] NOT NULL,
    CONSTRAINT latest_pkey PRIMARY KEY (node_number, layout_id)
) WITH (fillfactor = 70);

CREATE TABLE event (
    id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT event_pkey PRIMARY KEY,
    node_number integer NOT NULL,
    boot integer NOT NULL,
    sequence bigint NOT NULL,
    occurred_at_ms bigint NOT NULL,
    kind text NOT NULL,
    severity text NOT NULL CONSTRAINT event_severity_known
        CHECK (severity IN ('info', 'warning', 'critical')),
    detail jsonb NOT NULL,
    CONSTRAINT event_key UNIQUE (node_number, boot, sequence, kind)
);
CREATE INDEX event_time_idx ON event (occurred_at_ms);
CREATE INDEX event_node_time_idx ON event (node_number, occurred_at_ms);

CREATE TABLE alarm (
    number bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT alarm_pkey PRIMARY KEY,
    node_number integer NOT NULL,
    pole_code text NOT NULL,
    kind text NOT NULL,
    severity text NOT NULL CONSTRAINT alarm_severity_known
        CHECK (severity IN ('info', 'warning', 'critical')),
    raised_at_ms bigint NOT NULL,
    noticed_at_ms bigint NOT NULL,
    acknowledged_at_ms bigint NOT NULL DEFAULT 0,
    acknowledged_by text NOT NULL DEFAULT '',
    cleared_at_ms bigint NOT NULL DEFAULT 0,
    escalation integer NOT NULL DEFAULT 0,
    CONSTRAINT alarm_key UNIQUE (node_number, kind, raised_at_ms)
);
CREATE UNIQUE INDEX alarm_open_idx ON alarm (node_number, kind) WHERE cleared_at_ms = 0;
CREATE INDEX alarm_raised_idx ON alarm (raised_at_ms);

CREATE TABLE alarm_state (
    node_number integer CONSTRAINT alarm_state_pkey PRIMARY KEY,
    content jsonb NOT NULL
) WITH (fillfactor = 70);

CREATE TABLE spool_position (
    gateway_name text NOT NULL CONSTRAINT spool_position_gateway_fkey REFERENCES gateway (name),
    spool_id text NOT NULL,
    kind text NOT NULL CONSTRAINT spool_position_kind_known CHECK (kind IN ('report', 'event')),
    batch_number bigint NOT NULL,
    CONSTRAINT spool_position_pkey PRIMARY KEY (gateway_name, spool_id, kind)
);
"""


def upgrade() -> None:
    """Make the tables."""
    execute(_TABLES)


def downgrade() -> None:
    """Drop the tables."""
    drop(
        "spool_position alarm_state alarm event latest rollup packed_day report_mark report layout"
    )
