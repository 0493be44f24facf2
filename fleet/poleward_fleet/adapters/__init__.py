"""Borders of the fleet."""
