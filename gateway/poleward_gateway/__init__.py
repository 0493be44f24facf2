"""The edge gateway: CoAP to its nodes, gRPC to the fleet, durable in between."""
