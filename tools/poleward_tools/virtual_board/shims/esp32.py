"""Stands in for the chip's `esp32` module on a simulated node: non-volatile storage in a JSON file.

It holds no value in RAM beyond what waits for commit(), as the chip does, so that it costs no heap.
Runs on the MicroPython unix port; `boot.py` and the board use it exactly as they use the chip's.
"""

import json
import os

# nvs.json stands beside the flash folder, which is the node's working directory.
path = "../nvs.json"

_HEX = "hex:"
_NOT_FOUND = -0x1102  # ESP_ERR_NVS_NOT_FOUND, as the chip's module raises it
_pending: dict[
    str, dict[str, int | str | None]
] = {}  # {namespace: {key: value or None for erased}}, shared by all handles as on the chip


def _load() -> dict[str, dict[str, int | str]]:
    try:
        with open(path) as file:
            return json.load(file)  # type: ignore[no-any-return]
    except OSError:
        return {}


class NVS:
    """One namespace: 32-bit integers and blobs by key (at most 15 characters each)."""

    def __init__(self, namespace: str) -> None:
        if not 0 < len(namespace) < 16:
            raise ValueError("namespace needs 1 to 15 characters")
        self._namespace = namespace

    def set_i32(self, key: str, value: int) -> None:
        """Set an integer; it is durable after commit()."""
        if not -0x80000000 <= value <= 0x7FFFFFFF:
            raise OverflowError("value needs 32 bits")
        self._set(key, value)

    def get_i32(self, key: str) -> int:
        """Return the integer under key; OSError when there is none."""
        value = self._get(key)
        if not isinstance(value, int):
            raise OSError(_NOT_FOUND)
        return value

    def set_blob(self, key: str, value: bytes) -> None:
        """Set bytes; they are durable after commit()."""
        self._set(key, _HEX + bytes(value).hex())

    def get_blob(self, key: str, buffer: bytearray) -> int:
        """Copy the bytes under key into buffer and return their length.

        OSError when there are none or the buffer is too short, as on the chip.
        """
        value = self._get(key)
        if not isinstance(value, str):
            raise OSError(_NOT_FOUND)
        content = bytes.fromhex(value[len(_HEX) :])
        if len(content) > len(buffer):
            raise OSError(-0x110C)  # ESP_ERR_NVS_INVALID_LENGTH
        buffer[: len(content)] = content
        return len(content)

    def erase_key(self, key: str) -> None:
        """Remove a key; OSError when there is none."""
        self._get(key)
        self._set(key, None)

    def commit(self) -> None:
        """Make what was set durable: the whole file is replaced by a rename or not at all."""
        if not _pending:
            return
        stored = _load()
        for namespace, values in _pending.items():
            kept = stored.setdefault(namespace, {})
            for key, value in values.items():
                if value is None:
                    kept.pop(key, None)
                else:
                    kept[key] = value
        with open(path + ".new", "w") as file:
            json.dump(stored, file)
        os.rename(path + ".new", path)
        _pending.clear()

    def _set(self, key: str, value: int | str | None) -> None:
        if not 0 < len(key) < 16:
            raise ValueError("key needs 1 to 15 characters")
        _pending.setdefault(self._namespace, {})[key] = value

    def _get(self, key: str) -> int | str:
        waiting = _pending.get(self._namespace, {})
        value = waiting[key] if key in waiting else _load().get(self._namespace, {}).get(key)
        if value is None:
            raise OSError(_NOT_FOUND)
        return value
