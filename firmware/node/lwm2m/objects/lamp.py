"""Object 3416, Outdoor lamp controller 2.0: commands to the lamp and what it does.

Not the lamp's behaviour, which the injected controller decides.
"""

from micropython import const

from node.lwm2m.refusal import VALUE, RefusedError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_COMMAND = const(1)
_COMMAND_IN_ACTION = const(2)
_LEVEL = const(3)
_DEFAULT = const(4)
_OPERATING_HOURS = const(15)
_SWITCH_COUNT = const(18)
_NOMINAL_W = const(36)
_OVERRIDE_START = const(50)
_OVERRIDE_END = const(51)
_OVERRIDE_FADE = const(52)
_OVERRIDE_ACTIVE = const(54)
_FADE_MS = const(800)
_FADE_MAX_MS = const(3600000)


class Lamp:
    """The lamp of this pole.

    Args:
        controller: A `node.lighting` controller.
        storage: NVS namespace that keeps the nominal wattage.
    """

    ID = 3416
    TABLE = {
        1: "RWi", 2: "Ri", 3: "Ri", 4: "RWi", 5: "Rb", 15: "Rf", 18: "Ri", 36: "RWi", 50: "RWt",
        51: "RWt", 52: "RWf", 54: "Rb",
    }  # fmt: skip
    ACTUATORS = (_COMMAND, _OVERRIDE_START, _OVERRIDE_END)

    def __init__(self, controller: "Any", storage: "Any") -> None:
        self._controller = controller
        self._storage = storage
        try:
            self.nominal_w = storage.get_i32("nominal_w")
        except OSError:
            self.nominal_w = 0
        # What the last command said.
        self._starts_at = 0
        self._fade_ms = _FADE_MS

    def read(self, resource: int) -> "Any":
        """Give a value, None for one that there is not now."""
        controller = self._controller
        # First, since reports read it: the tuple below would be an object on the heap.
        if resource == _LEVEL:
            return (controller.level_permille + 5) // 10
        if resource in (_COMMAND, _COMMAND_IN_ACTION):
            return controller.command_percent
        if resource == _DEFAULT:
            return controller.default_percent
        if resource == _OPERATING_HOURS:
            return controller.burned_s * 10 // 36
        if resource == _SWITCH_COUNT:
            return controller.switch_count
        if resource == _NOMINAL_W:
            return self.nominal_w or None
        if resource == _OVERRIDE_START:
            return self._starts_at or None
        if resource == _OVERRIDE_FADE:
            return self._fade_ms
        if resource == _OVERRIDE_END:
            return controller.override_ends_at if controller.is_overridden else None
        # Resource 5, Lamp failure, is absent until the node can judge it.
        return controller.is_overridden if resource == _OVERRIDE_ACTIVE else None

    def write(self, values: "dict[int, Any]") -> None:
        """Take a command with its end, the default level, the nominal wattage.

        A command without an end lasts until the next; an end alone moves the end of the override
        that is active. An end in the past ends the override. With a start (Unix time) the fade
        begins then, at the same moment on every pole that got the same.
        """
        for resource in (_COMMAND, _DEFAULT):
            if not 0 <= values.get(resource, 0) <= 100:
                raise RefusedError(VALUE, "level: 0 to 100 %")
        if not 0 < values.get(_NOMINAL_W, 1) <= 2000:
            raise RefusedError(VALUE, "nominal wattage: 1 to 2000 W")
        for resource in (_OVERRIDE_START, _OVERRIDE_END):
            if not 0 <= values.get(resource, 0) < 0x7FFFFFFF:
                raise RefusedError(VALUE, "override start and end: Unix seconds")
        if values.get(_OVERRIDE_FADE, 0) > _FADE_MAX_MS:
            raise RefusedError(VALUE, "fade: at most 3600 s")
        if _NOMINAL_W in values and values[_NOMINAL_W] != self.nominal_w:
            self.nominal_w = values[_NOMINAL_W]
            self._storage.set_i32("nominal_w", self.nominal_w)
            self._storage.commit()
        if _DEFAULT in values:
            self._controller.set_default(values[_DEFAULT])
        if _COMMAND in values:
            self._starts_at = values.get(_OVERRIDE_START, 0)
            self._fade_ms = values.get(_OVERRIDE_FADE, _FADE_MS)
            if self._fade_ms < 0:  # 3416/x/52: a negative number means the default
                self._fade_ms = _FADE_MS
            self._controller.override(
                values[_COMMAND], values.get(_OVERRIDE_END, 0), self._starts_at, self._fade_ms
            )
        elif _OVERRIDE_END in values:
            self._controller.move_end(values[_OVERRIDE_END])
