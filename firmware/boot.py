"""Chooses the slot that runs; never replaced over the air."""
