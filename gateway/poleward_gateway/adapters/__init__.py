"""Borders of the gateway."""
