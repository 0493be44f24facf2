"""What the gateway believes about releases."""
