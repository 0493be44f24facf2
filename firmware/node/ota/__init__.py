"""Verifying, installing, trying and confirming releases."""
