"""One file per LwM2M object."""
