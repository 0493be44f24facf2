"""gRPC towards gateways and the command line."""
