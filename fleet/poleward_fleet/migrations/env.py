"""Runs migrations on the connection that the program hands over.

Not a command-line entry: adapters/sql/migrate.py starts it.
"""

from alembic import context

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=None, transaction_per_migration=False)
with context.begin_transaction():
    context.run_migrations()
