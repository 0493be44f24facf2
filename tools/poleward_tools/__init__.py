"""The `poleward` command and what stands behind it."""
