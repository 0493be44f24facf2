"""What fleet, gateway and tools agreed on about a technician's visit: checks, orders, proofs.

Not who may do what: the fleet decides that, and a work order carries its decision to a gateway.
"""
