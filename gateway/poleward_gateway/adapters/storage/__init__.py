"""SQLite: spool, contexts, desired state."""
