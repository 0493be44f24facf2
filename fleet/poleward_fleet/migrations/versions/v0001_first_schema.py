"""First schema: inventory, identity, telemetry, commands, releases, rollouts, people, audit."""

from alembic import op

revision = "0001"
down_revision = None

_TABLES = """
CREATE TABLE area (
    code text CONSTRAINT area_pkey PRIMARY KEY
        CONSTRAINT area_code_is_12_digits CHECK (code ~ '^[0-9]{12}$'),
    name text NOT NULL,
    parent_code text CONSTRAINT area_parent_fkey REFERENCES area (code)
        CONSTRAINT area_is_not_its_own_parent CHECK (parent_code <> code)
);

CREATE TABLE pole (
    code text CONSTRAINT pole_pkey PRIMARY KEY
        CONSTRAINT pole_code_is_printable CHECK (code ~ '^[!-~]{1,64}$'),
    area_code text NOT NULL CONSTRAINT pole_area_fkey REFERENCES area (code),
    latitude_deg double precision NOT NULL
        CONSTRAINT pole_latitude_range CHECK (latitude_deg BETWEEN -90 AND 90),
    longitude_deg double precision NOT NULL
        CONSTRAINT pole_longitude_range CHECK (longitude_deg BETWEEN -180 AND 180),
    equipment text[] NOT NULL,
    lamp_nominal_w integer NOT NULL CONSTRAINT pole_nominal_w_range
        CHECK (lamp_nominal_w BETWEEN 0 AND 10000)
);
CREATE INDEX pole_area_idx ON pole (area_code);

CREATE TABLE gateway (
    name text CONSTRAINT gateway_pkey PRIMARY KEY
        CONSTRAINT gateway_name_is_plain CHECK (name ~ '^[a-z0-9][a-z0-9.-]{0,62}$'),
    area_code text NOT NULL CONSTRAINT gateway_area_fkey REFERENCES area (code),
    certificate_serial text NOT NULL,
    certificate_expires_at_ms bigint NOT NULL,
    heard_at_ms bigint NOT NULL DEFAULT 0,
    software_version text NOT NULL DEFAULT '',
    coap_port integer NOT NULL DEFAULT 0,
    desired_revision bigint NOT NULL DEFAULT 1
);

CREATE TABLE node (
    number integer GENERATED ALWAYS AS IDENTITY CONSTRAINT node_pkey PRIMARY KEY,
    mac text NOT NULL CONSTRAINT node_mac_key UNIQUE
        CONSTRAINT node_mac_is_eui48 CHECK (mac ~ '^[0-9a-f]{12}$'),
    board_profile text NOT NULL,
    life_state text NOT NULL CONSTRAINT node_life_state_known CHECK (life_state IN (
        'manufactured', 'claimed', 'commissioned', 'in_service', 'quarantined', 'swapped_out',
        'lost', 'decommissioned')),
    claim_code_hash text NOT NULL,
    bootstrap_secret_sealed bytea NOT NULL,
    bootstrap_salt bytea NOT NULL,
    pole_code text CONSTRAINT node_pole_fkey REFERENCES pole (code)
        CONSTRAINT node_pole_key UNIQUE,
    gateway_name text CONSTRAINT node_gateway_fkey REFERENCES gateway (name),
    report_interval_s integer NOT NULL DEFAULT 60
        CONSTRAINT node_interval_range CHECK (report_interval_s BETWEEN 1 AND 86400),
    link_state text NOT NULL DEFAULT 'unknown' CONSTRAINT node_link_state_known CHECK (
        link_state IN ('unknown', 'bootstrapped', 'online', 'silent', 'offline')),
    heard_at_ms bigint NOT NULL DEFAULT 0,
    bundle_version text NOT NULL DEFAULT '',
    release_sequence bigint NOT NULL DEFAULT 0,
    boot integer NOT NULL DEFAULT 0,
    device jsonb NOT NULL DEFAULT '{}'
);
CREATE INDEX node_gateway_idx ON node (gateway_name);

CREATE TABLE desired_node (
    gateway_name text NOT NULL CONSTRAINT desired_node_gateway_fkey REFERENCES gateway (name),
    node_number integer NOT NULL CONSTRAINT desired_node_node_fkey REFERENCES node (number),
    revision bigint NOT NULL,
    removed boolean NOT NULL DEFAULT false,
    operational_secret_sealed bytea NOT NULL,
    operational_salt bytea NOT NULL,
    release_digest bytea,
    CONSTRAINT desired_node_pkey PRIMARY KEY (gateway_name, node_number)
);
CREATE INDEX desired_node_node_idx ON desired_node (node_number);

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
    "values" double precision[] NOT NULL,
    CONSTRAINT report_key UNIQUE (node_number, boot, sequence)
);
CREATE INDEX report_node_time_idx ON report (node_number, measured_at_ms);

CREATE TABLE latest (
    node_number integer NOT NULL,
    layout_id integer NOT NULL,
    measured_at_ms bigint NOT NULL,
    "values" double precision[] NOT NULL,
    CONSTRAINT latest_pkey PRIMARY KEY (node_number, layout_id)
) WITH (fillfactor = 70);

CREATE TABLE event (
    id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT event_pkey PRIMARY KEY,
    node_number integer NOT NULL,
    boot integer NOT NULL,
    sequence integer NOT NULL,
    occurred_at_ms bigint NOT NULL,
    kind text NOT NULL,
    severity text NOT NULL CONSTRAINT event_severity_known
        CHECK (severity IN ('info', 'warning', 'critical')),
    detail jsonb NOT NULL,
    CONSTRAINT event_key UNIQUE (node_number, boot, sequence, kind)
);
CREATE INDEX event_time_idx ON event (occurred_at_ms);
CREATE INDEX event_node_time_idx ON event (node_number, occurred_at_ms);

CREATE TABLE spool_position (
    gateway_name text NOT NULL CONSTRAINT spool_position_gateway_fkey REFERENCES gateway (name),
    spool_id text NOT NULL,
    kind text NOT NULL CONSTRAINT spool_position_kind_known CHECK (kind IN ('report', 'event')),
    batch_number bigint NOT NULL,
    CONSTRAINT spool_position_pkey PRIMARY KEY (gateway_name, spool_id, kind)
);

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

CREATE TABLE release_key (
    public_key bytea CONSTRAINT release_key_pkey PRIMARY KEY
        CONSTRAINT release_key_is_ed25519 CHECK (length(public_key) = 32),
    name text NOT NULL,
    trusted_at_ms bigint NOT NULL
);

CREATE TABLE release (
    digest bytea CONSTRAINT release_pkey PRIMARY KEY
        CONSTRAINT release_digest_is_sha256 CHECK (length(digest) = 32),
    version text NOT NULL,
    sequence bigint NOT NULL,
    board_profile text NOT NULL,
    bundle_digest bytea NOT NULL,
    bundle_bytes bigint NOT NULL,
    notes text NOT NULL,
    published_at_ms bigint NOT NULL,
    CONSTRAINT release_sequence_key UNIQUE (board_profile, sequence)
);

CREATE TABLE rollout (
    number bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT rollout_pkey PRIMARY KEY,
    release_digest bytea NOT NULL CONSTRAINT rollout_release_fkey REFERENCES release (digest),
    area_code text CONSTRAINT rollout_area_fkey REFERENCES area (code),
    concurrency integer NOT NULL CONSTRAINT rollout_concurrency_positive CHECK (concurrency > 0),
    max_failures integer NOT NULL CONSTRAINT rollout_failures_positive CHECK (max_failures > 0),
    state text NOT NULL CONSTRAINT rollout_state_known
        CHECK (state IN ('running', 'paused', 'stopped', 'aborted', 'finished')),
    reason text NOT NULL DEFAULT '',
    created_at_ms bigint NOT NULL,
    created_by text NOT NULL,
    lease_owner text NOT NULL DEFAULT '',
    lease_until_ms bigint NOT NULL DEFAULT 0
);

CREATE TABLE rollout_node (
    rollout_number bigint NOT NULL
        CONSTRAINT rollout_node_rollout_fkey REFERENCES rollout (number),
    node_number integer NOT NULL CONSTRAINT rollout_node_node_fkey REFERENCES node (number),
    stage text NOT NULL CONSTRAINT rollout_node_stage_known CHECK (stage IN (
        'queued', 'offered', 'downloading', 'downloaded', 'trial', 'confirmed', 'failed',
        'rejected', 'returned', 'timed_out', 'cancelled')),
    reason text NOT NULL DEFAULT '',
    since_ms bigint NOT NULL,
    CONSTRAINT rollout_node_pkey PRIMARY KEY (rollout_number, node_number)
);
CREATE INDEX rollout_node_node_idx ON rollout_node (node_number);

CREATE TABLE account (
    name text CONSTRAINT account_pkey PRIMARY KEY,
    password_hash text NOT NULL,
    roles text[] NOT NULL,
    area_code text CONSTRAINT account_area_fkey REFERENCES area (code),
    created_at_ms bigint NOT NULL
);

CREATE TABLE session (
    token_hash bytea CONSTRAINT session_pkey PRIMARY KEY,
    account_name text NOT NULL
        CONSTRAINT session_account_fkey REFERENCES account (name) ON DELETE CASCADE,
    expires_at_ms bigint NOT NULL
);

CREATE TABLE api_token (
    token_hash bytea CONSTRAINT api_token_pkey PRIMARY KEY,
    account_name text NOT NULL
        CONSTRAINT api_token_account_fkey REFERENCES account (name) ON DELETE CASCADE,
    created_at_ms bigint NOT NULL
);

CREATE TABLE enrollment_token (
    token_hash bytea CONSTRAINT enrollment_token_pkey PRIMARY KEY,
    gateway_name text NOT NULL,
    area_code text NOT NULL CONSTRAINT enrollment_token_area_fkey REFERENCES area (code),
    expires_at_ms bigint NOT NULL,
    used_at_ms bigint
);

CREATE TABLE audit (
    number bigint CONSTRAINT audit_pkey PRIMARY KEY,
    at_ms bigint NOT NULL,
    actor text NOT NULL,
    action text NOT NULL,
    subject text NOT NULL,
    detail jsonb NOT NULL,
    digest bytea NOT NULL
);
"""

_ORDER = (
    "audit enrollment_token api_token session account rollout_node rollout release release_key "
    "command spool_position event latest report layout desired_node node gateway pole area"
)


def upgrade() -> None:
    """Make every table."""
    for statement in _TABLES.split(";\n"):
        if statement.strip():
            op.execute(statement)


def downgrade() -> None:
    """Drop every table."""
    for table in _ORDER.split():
        op.execute(f"DROP TABLE {table}")
