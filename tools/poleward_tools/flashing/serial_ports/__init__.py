"""Handlers for pyserial: it looks here for the kinds of port that URLs name (`protocol_…`).

Not what is said on a port.
"""
