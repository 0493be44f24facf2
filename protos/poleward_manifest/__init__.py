"""Release envelopes on CPython: building, reading and verifying them.

Not the node's reader: the node verifies with its own small code (node.ota), and golden vectors
hold the two against each other.
"""
