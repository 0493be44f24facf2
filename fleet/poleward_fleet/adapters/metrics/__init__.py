"""What the fleet manager counts, for Prometheus."""
