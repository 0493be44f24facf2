"""Reads the form of a new rollout.

Not whether what it says makes sense; domain/rollout_policy.py checks that.
"""

from dataclasses import dataclass

from starlette.datastructures import FormData

from poleward_fleet.domain.errors import InvalidError
from poleward_fleet.domain.rollout_policy import (
    OnFailure,
    Policy,
    StageDeadlines,
    Target,
    Wave,
    Window,
)

WAVE_ROWS = 4
WINDOW_ROWS = 2


@dataclass(frozen=True, slots=True)
class RolloutForm:
    """What the form asks for."""

    release_digest: bytes
    name: str
    target: Target
    policy: Policy
    may_supersede: bool


def read_rollout_form(form: FormData) -> RolloutForm:
    """Read the form; a field that is missing takes its default.

    Raises:
        InvalidError: A field cannot be read; says which.
    """
    fields = _Fields(form)
    default = Policy()
    silence_s = 60 * fields.number("silence_min", 0)
    return RolloutForm(
        release_digest=fields.digest("release"),
        name=fields.text("name"),
        target=Target(
            area_code=fields.text("area"),
            labels=tuple(fields.text("labels").split()),
            pole_codes=tuple(fields.text("poles").split()),
            also_later=fields.is_set("also_later"),
        ),
        policy=Policy(
            waves=(*_waves(fields), Wave()),
            concurrency=fields.number("concurrency", default.concurrency),
            gateway_concurrency=fields.number("gateway_concurrency", default.gateway_concurrency),
            jitter_s=60 * fields.number("jitter_min", 0),
            max_failures=fields.number("max_failures", default.max_failures),
            max_failure_percent=fields.number("max_failure_percent", default.max_failure_percent),
            max_attempts=fields.number("max_attempts", default.max_attempts),
            on_failure=fields.on_failure(),
            return_digest=fields.digest("return_release"),
            windows=_windows(fields),
            time_zone=fields.text("time_zone") or default.time_zone,
            needs_approval=fields.is_set("needs_approval"),
            deadlines=StageDeadlines(*[silence_s] * 4) if silence_s else default.deadlines,
        ),
        may_supersede=fields.is_set("supersede"),
    )


def _waves(fields: "_Fields") -> list[Wave]:
    waves = []
    for row in range(WAVE_ROWS):
        size = fields.text(f"wave_size_{row}")
        if not size:
            continue
        number = fields.as_number("wave_size", size.removesuffix("%"))
        if number < 1:
            raise InvalidError.of("form_number", field="wave_size")
        waves.append(
            Wave(
                nodes=0 if size.endswith("%") else number,
                percent=number if size.endswith("%") else 0,
                success_percent=fields.number(f"wave_success_{row}", 100),
                wait_s=60 * fields.number(f"wave_wait_{row}", 0),
                needs_approval=fields.is_set(f"wave_approve_{row}"),
            )
        )
    return waves


def _windows(fields: "_Fields") -> tuple[Window, ...]:
    windows = []
    for row in range(WINDOW_ROWS):
        start, end = fields.text(f"window_start_{row}"), fields.text(f"window_end_{row}")
        if start or end:
            days = fields.texts(f"window_day_{row}")
            weekdays = tuple(fields.as_number("window_day", day) for day in days)
            windows.append(Window(weekdays, _minute(start), _minute(end)))
    return tuple(windows)


def _minute(text: str) -> int:
    hours, separator, minutes = text.partition(":")
    if not (separator and hours.isdigit() and minutes.isdigit() and int(minutes) < 60):
        raise InvalidError.of("window_range")
    return int(hours) * 60 + int(minutes)


class _Fields:
    """The fields of a form, by name."""

    def __init__(self, form: FormData) -> None:
        self._form = form

    def text(self, name: str) -> str:
        found = self._form.get(name, "")
        return found.strip() if isinstance(found, str) else ""

    def texts(self, name: str) -> list[str]:
        return [text for text in self._form.getlist(name) if isinstance(text, str)]

    def is_set(self, name: str) -> bool:
        return bool(self.text(name))

    def number(self, name: str, default: int) -> int:
        text = self.text(name)
        return self.as_number(name, text) if text else default

    def as_number(self, name: str, text: str) -> int:
        if not (text.isascii() and text.isdigit() and len(text) <= 9):
            raise InvalidError.of("form_number", field=name.rstrip("_0123456789"))
        return int(text)

    def digest(self, name: str) -> bytes:
        try:
            return bytes.fromhex(self.text(name))
        except ValueError as error:
            raise InvalidError.of("form_release") from error

    def on_failure(self) -> OnFailure:
        known = {choice.value: choice for choice in OnFailure}
        return known.get(self.text("on_failure"), OnFailure.CANCEL)
