"""What stands around a node on a virtual board: its lamp, its air, its place.

Not the models of them; `node.board.sim` has those and asks here. Kept in the board's folder.
"""

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

SETTINGS_NAME = "surroundings.json"
AIR_NAME = "air.bin"
_AIR_SECONDS_PER_HOUR = 3600


class SurroundingsError(ValueError):
    """A setting that is not there or of another type; nothing was changed."""


@dataclass(slots=True)
class Surroundings:
    """What the models start from.

    Args:
        seed: of the models' noise and of the place in the air series.
        latitude_deg: WGS84.
        longitude_deg: WGS84.
        lamp_nominal_w: nominal wattage of the lamp.
        lamp_is_broken: whether the lamp stays dark whatever it is told.
        illuminance_lx: light that falls on the pole from above.
        air_seconds_per_hour: how fast the air series is replayed.
        utc_offset_s: local time minus UTC.
    """

    seed: int = 0
    latitude_deg: float = 0.0
    longitude_deg: float = 0.0
    lamp_nominal_w: int = 60
    lamp_is_broken: bool = False
    illuminance_lx: int = 10_000
    air_seconds_per_hour: int = _AIR_SECONDS_PER_HOUR
    utc_offset_s: int = 0
    air: bytes = b""

    @classmethod
    def load(cls, folder: Path) -> "Surroundings":
        """Read what `save` wrote; without it a board stands nowhere special and has no air."""
        if not (folder / SETTINGS_NAME).exists():
            return cls()
        settings = json.loads((folder / SETTINGS_NAME).read_text(encoding="utf-8"))
        return cls(**settings, air=(folder / AIR_NAME).read_bytes())

    def save(self, folder: Path) -> None:
        """Write it into a board's folder."""
        (folder / AIR_NAME).write_bytes(self.air)
        (folder / SETTINGS_NAME).write_text(json.dumps(self.settings()), encoding="utf-8")

    def settings(self) -> dict[str, Any]:
        """Everything but the series."""
        settings = asdict(self)
        del settings["air"]
        return settings

    def change(self, name: str, value: object) -> None:
        """Change one setting while the board runs.

        Raises:
            SurroundingsError: there is no such setting, or the value is of another type.
        """
        names = [field.name for field in fields(self) if field.name != "air"]
        if name not in names:
            raise SurroundingsError(f"'{name}' is none of {', '.join(names)}")
        kind = type(getattr(self, name))
        if type(value) is not kind and not (kind is float and type(value) is int):
            raise SurroundingsError(f"{name} is a {kind.__name__}, not {value!r}")
        setattr(self, name, value)
