"""What the lamp does by itself."""
