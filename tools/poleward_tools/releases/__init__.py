"""Building and signing releases."""
