"""Releases, their keys, and rollouts."""

from poleward_fleet.migrations.statements import drop, execute

revision = "0004"
down_revision = "0003"

_TABLES = """
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
"""


def upgrade() -> None:
    """Make the tables."""
    execute(_TABLES)


def downgrade() -> None:
    """Drop the tables."""
    drop("rollout_node rollout patch release release_key")
