"""CBOR, SenML and link-format; no I/O."""
