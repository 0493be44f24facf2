"""Object security for CoAP (RFC 8613); no I/O."""
