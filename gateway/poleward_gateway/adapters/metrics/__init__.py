"""Counters for people who watch the gateway."""
