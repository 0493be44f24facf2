"""Object 1, LwM2M Server: lifetime and sending, as the gateway sets them.

Not the registration itself, which `node.lwm2m.client` does.
"""

from micropython import const

from node.lwm2m.refusal import VALUE, RefusedError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

_LIFETIME = const(1)
_STORES_NOTIFICATIONS = const(6)
_BINDING = const(7)
_UPDATE_TRIGGER = const(8)
_MUTE_SEND = const(23)


class Server:
    """The one registration server.

    Args:
        account: Keeps what is written.
        on_update: Called when the gateway wants a registration update.
        on_bootstrap: Called when the gateway wants a new bootstrap.
    """

    ID = 1
    TABLE = {0: "Ri", 1: "RWi", 6: "RWb", 7: "RWs", 8: "En", 9: "En", 23: "RWb"}
    ACTUATORS = ()

    def __init__(
        self, account: "Any", on_update: "Callable[[], None]", on_bootstrap: "Callable[[], None]"
    ) -> None:
        self._account = account
        self._on_update = on_update
        self._on_bootstrap = on_bootstrap

    def read(self, resource: int) -> "Any":
        """Give a value, None for one that cannot be read."""
        account = self._account
        if resource == 0:
            return account.short_server_id
        if resource == _LIFETIME:
            return account.lifetime_s
        if resource == _STORES_NOTIFICATIONS:
            return False
        if resource == _BINDING:
            return "U"
        return account.is_send_muted if resource == _MUTE_SEND else None

    def write(self, values: "dict[int, Any]") -> None:
        """Take lifetime and Mute Send; the binding can only be UDP and nothing is stored."""
        if not 20 <= values.get(_LIFETIME, 20) <= 86400:
            raise RefusedError(VALUE, "lifetime: 20 to 86400 s")
        if values.get(_BINDING, "U") != "U" or values.get(_STORES_NOTIFICATIONS, False):
            raise RefusedError(VALUE, "only binding U without stored notifications")
        if _MUTE_SEND in values:
            self._account.set_send_muted(values[_MUTE_SEND])
        if _LIFETIME in values and values[_LIFETIME] != self._account.lifetime_s:
            self._account.set_lifetime(values[_LIFETIME])
            self._on_update()

    def execute(self, resource: int, arguments: bytes) -> None:
        """Update the registration, or bootstrap again."""
        if resource == _UPDATE_TRIGGER:
            self._on_update()
        else:
            self._on_bootstrap()
