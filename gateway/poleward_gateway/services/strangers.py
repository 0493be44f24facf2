"""Remembers who was refused at the gateway's port, for the fleet.

Not the refusal itself (adapters/node_link/endpoint.py), which needs nothing from here.
"""

import math
from dataclasses import replace

import structlog

from poleward_gateway.domain.strangers import Fault, Sighting, StrangersSeen
from poleward_gateway.ports.clock import Clock, Tally

_log = structlog.get_logger(__name__)

KEPT_MAX = 256
PERIOD_S = 60.0
"""Between two messages to the fleet, however many requests are refused."""
KEY_ID_MAX_BYTES = 16
"""Key ids of nodes have at most 7 bytes (RFC 8613, 3.3); of longer ones this much is kept."""


class Strangers:
    """A table of at most KEPT_MAX key ids; the one not seen for longest goes, and is counted.

    Args:
        clock: Time.
        tally: Counters.
    """

    def __init__(self, clock: Clock, tally: Tally) -> None:
        self._clock = clock
        self._tally = tally
        self._known: dict[tuple[Fault, bytes], Sighting] = {}  # the newest last
        self._untold: set[tuple[Fault, bytes]] = set()
        self._attempts = 0
        self._counting_since_s = 0.0
        self._told_at_s = -math.inf
        self._is_calm_told = False

    def note(self, fault: Fault, key_id: bytes, peer: str) -> None:
        """Note a refused request."""
        key = fault, key_id[:KEY_ID_MAX_BYTES]
        now_ms = self._clock.now_ms()
        known = self._known.pop(key, None)
        if known is None:
            if len(self._known) >= KEPT_MAX:
                self._forget_oldest()
            else:
                _log.warning("stranger", fault=fault.value, key_id=key[1].hex(), peer=peer)
            known = Sighting(*key, peer, now_ms, now_ms, 0)
        self._known[key] = replace(
            known, peer=peer, last_seen_at_ms=now_ms, attempts=known.attempts + 1
        )
        self._untold.add(key)
        if not self._attempts:
            self._counting_since_s = self._clock.monotonic_s()
        self._attempts += 1

    def take_news(self) -> StrangersSeen | None:
        """Return what the fleet does not know; it counts as told from now on.

        1. What follows a calm is told at once, and then what changed in each PERIOD_S.
        2. After the last attempt it is told once that there were none since.
        """
        now_s = self._clock.monotonic_s()
        if self._is_calm_told:
            if not self._attempts:
                return None
        elif now_s - self._told_at_s < PERIOD_S:
            return None
        minutes = max(1.0, (now_s - self._counting_since_s) / 60)
        news = StrangersSeen(
            tuple(seen for key, seen in self._known.items() if key in self._untold),
            round(self._attempts / minutes),
        )
        self._told_at_s = now_s
        self._is_calm_told = not self._attempts
        self._untold.clear()
        self._attempts = 0
        return news

    def tell_everything(self) -> None:
        """Have everything told at once, after the stream was opened."""
        self._told_at_s = -math.inf
        self._is_calm_told = False
        self._untold.update(self._known)

    def _forget_oldest(self) -> None:
        oldest = next(iter(self._known))
        del self._known[oldest]
        self._untold.discard(oldest)
        self._tally.count("strangers_forgotten")
