"""Building, signing and publishing releases."""
