"""Releases, their keys, and rollouts."""

from poleward_fleet.migrations.statements import drop, execute, execute_whole

revision = "0004"
down_revision = "0003"

_TABLES = """
CREATE TABLE release_key (
    public_key bytea CONSTRAINT release_key_pkey PRIMARY KEY
        CONSTRAINT release_key_is_of_a_known_kind CHECK (length(public_key) IN (32, 60)),
    name text NOT NULL,
    trusted_at_ms bigint NOT NULL,
    revoked_at_ms bigint,
    revoked_by text NOT NULL DEFAULT ''
);

CREATE TABLE trust_document (
    version integer CONSTRAINT trust_document_pkey PRIMARY KEY,
    digest bytea NOT NULL CONSTRAINT trust_document_digest_is_sha256 CHECK (length(digest) = 32),
    document bytea NOT NULL,
    root_keys bytea[] NOT NULL,
    root_threshold integer NOT NULL,
    release_keys bytea[] NOT NULL,
    release_threshold integer NOT NULL,
    directive_keys bytea[] NOT NULL,
    directive_threshold integer NOT NULL,
    expires_at_ms bigint NOT NULL,
    published_at_ms bigint NOT NULL,
    published_by text NOT NULL
);

CREATE TABLE directive_key (
    public_key bytea CONSTRAINT directive_key_pkey PRIMARY KEY,
    secret_sealed bytea NOT NULL,
    made_at_ms bigint NOT NULL
);

CREATE TABLE release (
    digest bytea CONSTRAINT release_pkey PRIMARY KEY
        CONSTRAINT release_digest_is_sha256 CHECK (length(digest) = 32),
    version text NOT NULL,
    sequence bigint NOT NULL,
    board_profile text NOT NULL,
    bundle_digest bytea NOT NULL,
    bundle_bytes bigint NOT NULL,
    image_digest bytea,
    image_bytes bigint NOT NULL DEFAULT 0,
    notes text NOT NULL,
    published_at_ms bigint NOT NULL,
    downgrade text NOT NULL DEFAULT '',
    signers bytea[] NOT NULL DEFAULT '{}',
    CONSTRAINT release_sequence_key UNIQUE (board_profile, sequence, downgrade)
);

CREATE TABLE release_component (
    release_digest bytea NOT NULL
        CONSTRAINT release_component_release_fkey REFERENCES release (digest),
    name text NOT NULL,
    version text NOT NULL,
    version_order integer[] NOT NULL,
    CONSTRAINT release_component_pkey PRIMARY KEY (name, release_digest, version)
);

CREATE TABLE patch (
    source_digest bytea NOT NULL,
    target_digest bytea NOT NULL,
    digest bytea -- null where the whole component is smaller
        CONSTRAINT patch_digest_is_sha256 CHECK (length(digest) = 32),
    size_bytes bigint NOT NULL,
    made_at_ms bigint NOT NULL,
    CONSTRAINT patch_pkey PRIMARY KEY (source_digest, target_digest)
);

CREATE TABLE rollout (
    number bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT rollout_pkey PRIMARY KEY,
    name text CONSTRAINT rollout_name_key UNIQUE, -- null for its number
    release_digest bytea NOT NULL CONSTRAINT rollout_release_fkey REFERENCES release (digest),
    area_code text CONSTRAINT rollout_area_fkey REFERENCES area (code),
    labels text[] NOT NULL DEFAULT '{}',
    pole_codes text[] NOT NULL DEFAULT '{}',
    also_later boolean NOT NULL DEFAULT false,
    returns_rollout bigint CONSTRAINT rollout_returns_key UNIQUE
        CONSTRAINT rollout_returns_fkey REFERENCES rollout (number),
    policy jsonb NOT NULL,
    state text NOT NULL CONSTRAINT rollout_state_known
        CHECK (state IN ('proposed', 'running', 'paused', 'stopped', 'aborted', 'finished')),
    reason jsonb,
    accepted_failures integer NOT NULL DEFAULT 0,
    accepted_wave integer NOT NULL DEFAULT -1,
    is_returning boolean NOT NULL DEFAULT false,
    joined_at_ms bigint NOT NULL DEFAULT 0,
    created_at_ms bigint NOT NULL,
    created_by text NOT NULL,
    approved_by text NOT NULL DEFAULT '',
    lease_owner text NOT NULL DEFAULT '',
    lease_until_ms bigint NOT NULL DEFAULT 0
);

CREATE TABLE rollout_wave (
    rollout_number bigint NOT NULL CONSTRAINT rollout_wave_rollout_fkey REFERENCES rollout (number),
    wave integer NOT NULL,
    opened_at_ms bigint,
    reached_at_ms bigint,
    approved_by text NOT NULL DEFAULT '',
    CONSTRAINT rollout_wave_pkey PRIMARY KEY (rollout_number, wave)
);

-- Without foreign keys: rows are made from rows of node and rollout, which are never deleted, and
-- checking each of 100,000 took longer than writing them.
CREATE TABLE rollout_node (
    node_number integer NOT NULL,
    rollout_number bigint NOT NULL,
    gateway_name text NOT NULL,
    wave integer NOT NULL,
    position integer NOT NULL,
    stage text NOT NULL CONSTRAINT rollout_node_stage_known CHECK (stage IN (
        'queued', 'offered', 'downloading', 'downloaded', 'trial', 'confirmed', 'failed',
        'rejected', 'returned', 'timed_out', 'cancelled', 'superseded')),
    reason jsonb,
    since_ms bigint NOT NULL,
    delay_ms bigint NOT NULL,
    attempts integer NOT NULL DEFAULT 0,
    offered_at_ms bigint NOT NULL DEFAULT 0,
    boot integer NOT NULL DEFAULT 0,
    CONSTRAINT rollout_node_pkey PRIMARY KEY (node_number, rollout_number)
);
CREATE INDEX rollout_node_stage_idx
    ON rollout_node (rollout_number, stage, since_ms DESC, node_number);
CREATE INDEX rollout_node_queue_idx ON rollout_node (rollout_number, gateway_name, wave, position)
    WHERE stage = 'queued';
CREATE INDEX rollout_node_retry_idx ON rollout_node (rollout_number)
    WHERE stage = 'queued' AND reason IS NOT NULL;

CREATE TABLE rollout_tally (
    rollout_number bigint NOT NULL,
    wave integer NOT NULL,
    gateway_name text NOT NULL,
    stage text NOT NULL,
    nodes integer NOT NULL,
    CONSTRAINT rollout_tally_pkey PRIMARY KEY (rollout_number, wave, gateway_name, stage)
) WITH (fillfactor = 50);
"""
# What a rollout can bring a release to: a node in its pole, or a gateway. Each branch reads one
# table, so that a join by number goes through its index.
_SUBJECTS = """
CREATE VIEW rollout_subject AS
SELECT number, gateway_name, board_profile, release_sequence, boot, heard_at_ms, link_state,
    report_interval_s, device ->> 'hardware_version' AS hardware_version, pole_code,
    pole_code AS code, CAST(NULL AS text) AS area_code, 'node:' || mac AS subject,
    life_state IN ('commissioned', 'in_service') AND gateway_name IS NOT NULL
        AND pole_code IS NOT NULL AS is_in_service
FROM node
UNION ALL
SELECT number, name, 'gateway', release_sequence, 0, heard_at_ms,
    CASE WHEN heard_at_ms > (extract(epoch FROM now()) - 180) * 1000 THEN 'online' ELSE 'offline'
        END, 60, '', NULL, name, area_code, 'gateway:' || name,
    revoked_at_ms = 0 AND heard_at_ms > 0
FROM gateway
"""
# Which nodes and gateways are told to run a release now, and for which rollouts.
_WANTED = """
CREATE VIEW rollout_wanted AS
SELECT node_number, rollout_number FROM desired_node
WHERE rollout_number IS NOT NULL AND release_digest IS NOT NULL AND NOT removed
UNION ALL
SELECT number, desired_rollout FROM gateway WHERE desired_rollout IS NOT NULL
"""
# What a directive and a desire say about the rollout that they come from; a way back is by the name
# of the rollout whose nodes it returns.
_ORIGINS = """
CREATE VIEW rollout_origin AS
SELECT o.number, o.state IN ('stopped', 'aborted') AS is_over, r.sequence,
    CASE WHEN o.policy -> 'windows' <> '[]' THEN o.policy END AS policy_with_windows,
    coalesce(returned.name, o.returns_rollout::text, o.name, o.number::text) AS name
FROM rollout o JOIN release r ON r.digest = o.release_digest
    LEFT JOIN rollout returned ON returned.number = o.returns_rollout
"""
# Counts follow the nodes in the same statement, so that no reader ever counts 100,000 rows.
_COUNTING = (
    """
CREATE FUNCTION count_rollout_nodes() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO rollout_tally (rollout_number, wave, gateway_name, stage, nodes)
    SELECT rollout_number, wave, gateway_name, stage, count(*) FROM added
    GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4
    ON CONFLICT (rollout_number, wave, gateway_name, stage)
        DO UPDATE SET nodes = rollout_tally.nodes + excluded.nodes;
    RETURN NULL;
END $$
""",
    """
CREATE FUNCTION recount_rollout_nodes() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO rollout_tally (rollout_number, wave, gateway_name, stage, nodes)
    SELECT rollout_number, wave, gateway_name, stage, sum(change) FROM (
        SELECT rollout_number, wave, gateway_name, stage, 1 AS change FROM added
        UNION ALL SELECT rollout_number, wave, gateway_name, stage, -1 FROM taken
    ) AS changes
    GROUP BY 1, 2, 3, 4 HAVING sum(change) <> 0 ORDER BY 1, 2, 3, 4
    ON CONFLICT (rollout_number, wave, gateway_name, stage)
        DO UPDATE SET nodes = rollout_tally.nodes + excluded.nodes;
    RETURN NULL;
END $$
""",
    """
CREATE TRIGGER rollout_node_added AFTER INSERT ON rollout_node
    REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION count_rollout_nodes()
""",
    """
CREATE TRIGGER rollout_node_moved AFTER UPDATE ON rollout_node
    REFERENCING NEW TABLE AS added OLD TABLE AS taken
    FOR EACH STATEMENT EXECUTE FUNCTION recount_rollout_nodes()
""",
)


def upgrade() -> None:
    """Make the tables."""
    execute(_TABLES)
    execute_whole(_SUBJECTS)
    execute_whole(_WANTED)
    execute_whole(_ORIGINS)
    for statement in _COUNTING:
        execute_whole(statement)


def downgrade() -> None:
    """Drop the tables."""
    execute("DROP VIEW rollout_subject;\nDROP VIEW rollout_wanted;\nDROP VIEW rollout_origin;\n")
    drop(
        "rollout_tally rollout_node rollout_wave rollout patch release_component release "
        "trust_document directive_key release_key"
    )
    execute("DROP FUNCTION count_rollout_nodes;\nDROP FUNCTION recount_rollout_nodes;\n")
