"""Policies of rollouts as JSON in the database; both directions.

Not whether they make sense (domain/rollout_policy.py).
"""

import json
from dataclasses import asdict
from typing import Any

from poleward_fleet.domain.rollout_policy import (
    HealthLimits,
    OnFailure,
    Policy,
    StageDeadlines,
    Wave,
    Window,
)


def policy_to_json(policy: Policy) -> str:
    """Return a policy as JSON."""
    packed = asdict(policy)
    packed["on_failure"] = policy.on_failure.value
    packed["return_digest"] = policy.return_digest.hex()
    return json.dumps(packed)


def policy_of(packed: dict[str, Any]) -> Policy:
    """Return the policy that `policy_to_json` packed."""
    return Policy(
        **packed
        | {
            "waves": tuple(Wave(**wave) for wave in packed["waves"]),
            "windows": tuple(
                Window(tuple(window["weekdays"]), window["start_minute"], window["end_minute"])
                for window in packed["windows"]
            ),
            "on_failure": OnFailure(packed["on_failure"]),
            "return_digest": bytes.fromhex(packed["return_digest"]),
            "deadlines": StageDeadlines(**packed["deadlines"]),
            "health": HealthLimits(**packed["health"]),
        }
    )
