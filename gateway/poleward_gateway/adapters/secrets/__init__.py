"""Secrets of the gateway at rest: where their key comes from, and what it seals."""
