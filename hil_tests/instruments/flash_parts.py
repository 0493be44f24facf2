"""What of a board's flash is peculiar to a rig: bench Wi-Fi, and the way through the rig's link.

Layout and factory values are `poleward_tools.flash_image`'s; writing is the flasher's.
"""

from collections.abc import Mapping

from poleward_tools.flash_image.node_nvs import Settings
from poleward_tools.flash_image.nvs import MemoryStorage, NvsPartition
from poleward_tools.flash_image.partition_table import NODE_4_MIB

_WIFI_VARIABLES = {"ssid": "POLEWARD_RIG_WIFI_SSID", "key": "POLEWARD_RIG_WIFI_KEY"}


def wifi_settings(environment: Mapping[str, str]) -> Settings:
    """Return the Wi-Fi of real boards, which stands in no file of the rig."""
    return {
        "network": {
            key: environment[name] for key, name in _WIFI_VARIABLES.items() if name in environment
        }
    }


def rerouted(nvs_content: bytes, uri: str) -> bytes | None:
    """Return an NVS partition whose account leads to this URI, None when it does already.

    The bootstrap gives a node the address that its gateway sees itself under, which leads around a
    relay in between.

    Raises:
        FlashImageError: the partition is damaged, or there is no room.
    """
    storage = MemoryStorage(bytearray(nvs_content))
    nvs = NvsPartition(storage)
    if nvs.get("account", "uri") == uri.encode():
        return None
    nvs.set("account", "uri", uri.encode())
    return bytes(storage.content)


def nvs_place() -> tuple[int, int]:
    """Return offset and size of the NVS partition."""
    partition = NODE_4_MIB.nvs
    assert partition is not None
    return partition.offset, partition.size_bytes
