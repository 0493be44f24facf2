"""Values and rules of the fleet."""
