"""gRPC towards the fleet."""
