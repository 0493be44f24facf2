"""How long a directive holds and when it is made anew.

Not its form (poleward_manifest) and not who may sign it (domain/trust.py).
"""

HOLDS_MS = 7 * 24 * 3_600_000
"""A gateway works for days without the fleet; whoever keeps a directive back has no longer."""
RENEWED_AFTER_MS = HOLDS_MS // 2
_EARLY_MS = 600_000
"""Clocks of gateways and nodes may be so far behind the fleet's."""


def span_s(directed_at_ms: int) -> tuple[int, int]:
    """Return the first and the last Unix second at which a directive holds."""
    return (directed_at_ms - _EARLY_MS) // 1000, (directed_at_ms + HOLDS_MS) // 1000
