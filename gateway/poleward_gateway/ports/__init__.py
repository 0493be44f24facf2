"""What the services need from the world, as protocols; implementations are in adapters.

Nothing here guarantees that a call returns quickly: each await on a peer has a deadline inside the
adapter.
"""
