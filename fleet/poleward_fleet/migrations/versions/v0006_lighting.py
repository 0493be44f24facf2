"""Lighting programs, groups, scenes and local rules."""

from poleward_fleet.migrations.statements import drop, execute

revision = "0006"
down_revision = "0005"

_TABLES = """
CREATE TABLE lighting_program (
    name text CONSTRAINT lighting_program_pkey PRIMARY KEY,
    time_zone text NOT NULL,
    rules text NOT NULL
);

CREATE TABLE pole_program (
    pole_code text CONSTRAINT pole_program_pkey PRIMARY KEY
        CONSTRAINT pole_program_pole_fkey REFERENCES pole (code) ON DELETE CASCADE,
    program_name text NOT NULL
        CONSTRAINT pole_program_program_fkey REFERENCES lighting_program (name)
);
CREATE INDEX pole_program_program_idx ON pole_program (program_name);

CREATE TABLE lamp_group (
    name text CONSTRAINT lamp_group_pkey PRIMARY KEY
);

CREATE TABLE lamp_group_pole (
    group_name text NOT NULL
        CONSTRAINT lamp_group_pole_group_fkey REFERENCES lamp_group (name) ON DELETE CASCADE,
    pole_code text NOT NULL
        CONSTRAINT lamp_group_pole_pole_fkey REFERENCES pole (code) ON DELETE CASCADE,
    CONSTRAINT lamp_group_pole_pkey PRIMARY KEY (group_name, pole_code)
);
CREATE INDEX lamp_group_pole_pole_idx ON lamp_group_pole (pole_code);

CREATE TABLE lighting_scene (
    name text CONSTRAINT lighting_scene_pkey PRIMARY KEY,
    parts jsonb NOT NULL
);

CREATE TABLE local_rule (
    name text CONSTRAINT local_rule_pkey PRIMARY KEY,
    trigger jsonb NOT NULL,
    actions jsonb NOT NULL
);
"""


def upgrade() -> None:
    """Make the tables."""
    execute(_TABLES)


def downgrade() -> None:
    """Drop the tables."""
    drop("local_rule lighting_scene lamp_group_pole lamp_group pole_program lighting_program")
