"""LwM2M 1.1 client."""
