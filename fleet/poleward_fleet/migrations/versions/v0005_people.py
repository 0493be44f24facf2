"""Accounts, sessions, tokens, approvals and the audit record."""

from poleward_fleet.migrations.statements import drop, execute

revision = "0005"
down_revision = "0004"

_TABLES = """
CREATE TABLE account (
    name text CONSTRAINT account_pkey PRIMARY KEY,
    password_hash text NOT NULL DEFAULT '',
    external_id text CONSTRAINT account_external_id_key UNIQUE,
    roles text[] NOT NULL,
    area_code text CONSTRAINT account_area_fkey REFERENCES area (code),
    created_at_ms bigint NOT NULL
);

CREATE TABLE session (
    token_hash bytea CONSTRAINT session_pkey PRIMARY KEY,
    number bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT session_number_key UNIQUE,
    account_name text NOT NULL
        CONSTRAINT session_account_fkey REFERENCES account (name) ON DELETE CASCADE,
    started_at_ms bigint NOT NULL,
    seen_at_ms bigint NOT NULL,
    expires_at_ms bigint NOT NULL,
    remote text NOT NULL,
    agent text NOT NULL
);

CREATE TABLE api_token (
    token_hash bytea CONSTRAINT api_token_pkey PRIMARY KEY,
    number bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT api_token_number_key UNIQUE,
    account_name text NOT NULL
        CONSTRAINT api_token_account_fkey REFERENCES account (name) ON DELETE CASCADE,
    label text NOT NULL,
    scopes text[] NOT NULL,
    calls_per_s integer NOT NULL
        CONSTRAINT api_token_calls_range CHECK (calls_per_s BETWEEN 0 AND 100000),
    created_at_ms bigint NOT NULL,
    created_by text NOT NULL,
    expires_at_ms bigint NOT NULL,
    used_at_ms bigint NOT NULL DEFAULT 0
);

CREATE TABLE enrollment_token (
    token_hash bytea CONSTRAINT enrollment_token_pkey PRIMARY KEY,
    gateway_name text NOT NULL,
    area_code text NOT NULL CONSTRAINT enrollment_token_area_fkey REFERENCES area (code),
    expires_at_ms bigint NOT NULL,
    used_at_ms bigint
);

CREATE TABLE approval (
    number bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT approval_pkey PRIMARY KEY,
    action text NOT NULL,
    subject text NOT NULL,
    permission text NOT NULL,
    area_code text CONSTRAINT approval_area_fkey REFERENCES area (code),
    detail jsonb NOT NULL,
    requested_by text NOT NULL,
    requested_at_ms bigint NOT NULL,
    expires_at_ms bigint NOT NULL,
    state text NOT NULL DEFAULT 'pending' CONSTRAINT approval_state_known
        CHECK (state IN ('pending', 'approved', 'used', 'rejected', 'withdrawn')),
    decided_by text NOT NULL DEFAULT ''
        CONSTRAINT approval_is_not_decided_by_its_requester
        CHECK (state NOT IN ('approved', 'used', 'rejected') OR decided_by <> requested_by),
    decided_at_ms bigint NOT NULL DEFAULT 0,
    reason text NOT NULL DEFAULT ''
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
CREATE INDEX audit_actor_idx ON audit (actor, number);
CREATE INDEX audit_action_idx ON audit (action text_pattern_ops, number);
CREATE INDEX audit_at_idx ON audit (at_ms);
"""


def upgrade() -> None:
    """Make the tables."""
    execute(_TABLES)


def downgrade() -> None:
    """Drop the tables."""
    drop("audit approval enrollment_token api_token session account")
