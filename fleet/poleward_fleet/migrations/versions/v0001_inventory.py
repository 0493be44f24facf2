"""Areas, poles, gateways, nodes, where nodes come from and what gateways should make of them."""

from poleward_fleet.migrations.statements import drop, execute

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
    labels text[] NOT NULL DEFAULT '{}',
    lamp_nominal_w integer NOT NULL CONSTRAINT pole_nominal_w_range
        CHECK (lamp_nominal_w BETWEEN 0 AND 10000)
);
CREATE INDEX pole_area_idx ON pole (area_code);

CREATE TABLE gateway (
    name text CONSTRAINT gateway_pkey PRIMARY KEY
        CONSTRAINT gateway_name_is_plain CHECK (name ~ '^[a-z0-9][a-z0-9.-]{0,62}$'),
    area_code text NOT NULL CONSTRAINT gateway_area_fkey REFERENCES area (code),
    certificate_serial text NOT NULL,
    previous_serial text NOT NULL DEFAULT '',
    certificate_expires_at_ms bigint NOT NULL,
    heard_at_ms bigint NOT NULL DEFAULT 0,
    software_version text NOT NULL DEFAULT '',
    coap_uri text NOT NULL DEFAULT '',
    site_url text NOT NULL DEFAULT '',
    revoked_at_ms bigint NOT NULL DEFAULT 0,
    desired_revision bigint NOT NULL DEFAULT 1,
    -- Begins where no node's number is, so that a rollout names both by one.
    number integer GENERATED ALWAYS AS IDENTITY (START WITH 2000000000)
        CONSTRAINT gateway_number_key UNIQUE,
    release_sequence bigint NOT NULL DEFAULT 0,
    desired_release bytea,
    desired_rollout bigint, -- that brings the release
    directed_at_ms bigint NOT NULL DEFAULT 0 -- its directive holds from then
);

CREATE TABLE stranger (
    gateway_name text NOT NULL CONSTRAINT stranger_gateway_fkey REFERENCES gateway (name),
    is_wrong_key boolean NOT NULL,
    key_id bytea NOT NULL,
    peer text NOT NULL,
    first_seen_at_ms bigint NOT NULL,
    last_seen_at_ms bigint NOT NULL,
    attempts bigint NOT NULL,
    CONSTRAINT stranger_pkey PRIMARY KEY (gateway_name, is_wrong_key, key_id)
);

CREATE TABLE node (
    number integer GENERATED ALWAYS AS IDENTITY CONSTRAINT node_pkey PRIMARY KEY
        CONSTRAINT node_number_is_below_gateways CHECK (number < 2000000000),
    mac text NOT NULL CONSTRAINT node_mac_key UNIQUE
        CONSTRAINT node_mac_is_eui48 CHECK (mac ~ '^[0-9a-f]{12}$'),
    board_profile text NOT NULL,
    life_state text NOT NULL CONSTRAINT node_life_state_known CHECK (life_state IN (
        'manufactured', 'claimed', 'commissioned', 'in_service', 'quarantined', 'swapped_out',
        'lost', 'decommissioned')),
    life_since_ms bigint NOT NULL DEFAULT 0,
    life_reason text NOT NULL DEFAULT '',
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
CREATE INDEX node_release_idx ON node (release_sequence, board_profile);

CREATE TABLE past_stay (
    pole_code text NOT NULL CONSTRAINT past_stay_pole_fkey REFERENCES pole (code),
    node_number integer NOT NULL CONSTRAINT past_stay_node_fkey REFERENCES node (number),
    from_ms bigint NOT NULL,
    until_ms bigint NOT NULL,
    CONSTRAINT past_stay_pkey PRIMARY KEY (node_number, until_ms)
);
CREATE INDEX past_stay_pole_idx ON past_stay (pole_code);

CREATE TABLE factory_station (
    key bytea CONSTRAINT factory_station_pkey PRIMARY KEY
        CONSTRAINT factory_station_key_length CHECK (octet_length(key) = 32),
    name text NOT NULL,
    nodes integer NOT NULL DEFAULT 0
        CONSTRAINT factory_station_nodes_range CHECK (nodes >= 0)
);

CREATE TABLE desired_node (
    gateway_name text NOT NULL CONSTRAINT desired_node_gateway_fkey REFERENCES gateway (name),
    node_number integer NOT NULL CONSTRAINT desired_node_node_fkey REFERENCES node (number),
    revision bigint NOT NULL,
    removed boolean NOT NULL DEFAULT false,
    task text NOT NULL DEFAULT 'serve' CONSTRAINT desired_node_task_known
        CHECK (task IN ('serve', 'hand_over', 'wipe')),
    operational_secret_sealed bytea NOT NULL,
    operational_salt bytea NOT NULL,
    release_digest bytea,
    rollout_number bigint, -- that brings the release
    directed_at_ms bigint NOT NULL DEFAULT 0, -- its directive holds from then
    CONSTRAINT desired_node_pkey PRIMARY KEY (gateway_name, node_number)
);
CREATE INDEX desired_node_node_idx ON desired_node (node_number);
"""


def upgrade() -> None:
    """Make the tables."""
    execute(_TABLES)


def downgrade() -> None:
    """Drop the tables."""
    drop("desired_node factory_station past_stay node stranger gateway pole area")
