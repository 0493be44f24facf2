"""Whether a wave is worse off after the update than before it: pure comparison of figures.

Not where the figures come from (adapters/sql/rollout_health_store.py).
"""

from dataclasses import dataclass

from poleward_fleet.domain.rollout_policy import HealthLimits
from poleward_fleet.domain.words import Words

# A rate of very few events says nothing.
_FEWEST_ALARMS = 3


@dataclass(frozen=True, slots=True)
class HealthFigures:
    """What a wave's nodes reported in some time; None where they said nothing of the kind."""

    alarms: int = 0  # warnings and critical events of all nodes together
    node_hours: float = 0.0  # over which they were counted
    memory_free_kib: float | None = None
    power_per_level: float | None = None  # watts per percent of dimming level
    values_per_report: float | None = None

    @property
    def alarms_per_hour(self) -> float:
        """Alarms per node and hour."""
        return self.alarms / self.node_hours if self.node_hours else 0.0


@dataclass(frozen=True, slots=True)
class WaveHealth:
    """A wave's updated nodes before and after.

    Args:
        wave: Counted from 0.
        nodes: Updated nodes that were looked at.
        silent: Of these, not heard any more.
        reboots: Mean per node since it confirmed.
    """

    wave: int
    nodes: int
    silent: int
    reboots: float
    before: HealthFigures
    after: HealthFigures


def regression(health: WaveHealth, limits: HealthLimits) -> Words | None:
    """Say what got worse than the limits allow; None when nothing did.

    A figure that is missing before or after is not compared, except that values which stop coming
    show in `values_per_report`.
    """
    before, after = health.before, health.after
    wave = health.wave + 1
    if health.nodes and health.reboots > limits.max_reboots:
        return Words.of("reboots", wave=wave, after=_short(health.reboots))
    if before.memory_free_kib and after.memory_free_kib is not None:
        least = before.memory_free_kib * (1 - limits.max_heap_loss_percent / 100)
        if after.memory_free_kib < least:
            return _changed("heap", wave, before.memory_free_kib, after.memory_free_kib)
    if (
        after.alarms >= _FEWEST_ALARMS
        and after.alarms_per_hour > limits.max_alarm_factor * before.alarms_per_hour
    ):
        return _changed("alarms", wave, before.alarms_per_hour, after.alarms_per_hour)
    if before.power_per_level and after.power_per_level is not None:
        percent = 100 * after.power_per_level / before.power_per_level
        if abs(percent - 100) > limits.max_power_change_percent:
            return Words.of("power", wave=wave, after=_short(percent))
    if before.values_per_report and after.values_per_report is not None:
        least = before.values_per_report * (1 - limits.max_missing_percent / 100)
        if after.values_per_report < least:
            return _changed("missing", wave, before.values_per_report, after.values_per_report)
    return None


def _changed(key: str, wave: int, before: float, after: float) -> Words:
    return Words.of(key, wave=wave, before=_short(before), after=_short(after))


def _short(figure: float) -> str:
    return f"{figure:.3g}"
