"""Starts the application of the slot that boot.py chose."""
