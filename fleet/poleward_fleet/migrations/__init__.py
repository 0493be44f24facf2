"""Versions of the database schema, applied in order by Alembic.

Not the statements that use it: those are in adapters/sql.
"""
