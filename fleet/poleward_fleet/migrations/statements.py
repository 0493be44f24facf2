"""Runs the statements of a migration.

Not a way to change data: a migration that moves rows says how in its own file.
"""

from alembic import op


def execute(statements: str) -> None:
    """Run statements that end with a semicolon at the end of a line, one after the other."""
    for statement in statements.split(";\n"):
        if statement.strip():
            op.execute(statement)


def execute_whole(statement: str) -> None:
    """Run one statement that has semicolons of its own, such as a function."""
    op.execute(statement)


def drop(tables: str) -> None:
    """Drop tables, named with spaces between them, in that order."""
    for table in tables.split():
        op.execute(f"DROP TABLE {table}")
