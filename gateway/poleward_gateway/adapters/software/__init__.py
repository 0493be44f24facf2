"""The gateway's own releases on disk."""
