"""Labels on poles: words by which people choose poles, e.g. for a rollout.

Not equipment, which says what a pole carries, and not areas.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from poleward_fleet.domain.errors import InvalidError


@dataclass(frozen=True, slots=True)
class LabelCount:
    """A label and how many poles carry it."""

    label: str
    poles: int


def check_labels(labels: Iterable[str]) -> None:
    """Insist on labels that can be typed and told apart.

    Raises:
        InvalidError: Choose others.
    """
    for label in labels:
        if not (0 < len(label) <= 64 and label.isprintable() and not any(map(str.isspace, label))):
            raise InvalidError.of("labels")
