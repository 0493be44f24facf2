"""A board for tests: storage in RAM, clocks that the test sets, a lamp that remembers.

Not a simulator: `node.board.sim` is the one that lives on its own.
"""


class FakeNvs:
    """One namespace with esp32.NVS's methods."""

    def __init__(self):
        self.values = {}
        self.commits = 0

    def get_i32(self, key):
        if not isinstance(self.values.get(key), int):
            raise OSError(-0x1102)
        return self.values[key]

    def set_i32(self, key, value):
        assert -0x80000000 <= value <= 0x7FFFFFFF
        self.values[key] = value

    def get_blob(self, key, buffer):
        if not isinstance(self.values.get(key), bytes):
            raise OSError(-0x1102)
        buffer[: len(self.values[key])] = self.values[key]
        return len(self.values[key])

    def set_blob(self, key, value):
        self.values[key] = bytes(value)

    def commit(self):
        self.commits += 1


class FakeBoard:
    """See `node.board`; time stands still until the test moves it."""

    def __init__(self):
        self.now_ms = 0
        self.unix_offset_s = 0
        self.lamp = []
        self.beacon = []
        self.namespaces = {}

    def open_nvs(self, namespace):
        return self.namespaces.setdefault(namespace, FakeNvs())

    def ticks_ms(self):
        return self.now_ms

    def ticks_diff(self, later, earlier):
        return later - earlier

    def monotonic_s(self):
        return self.now_ms // 1000

    def unix_s(self):
        return self.unix_offset_s and self.monotonic_s() + self.unix_offset_s

    def set_lamp(self, level_permille):
        self.lamp.append(level_permille)

    def set_beacon(self, is_on):
        self.beacon.append(is_on)


class NoProgram:
    """A pole without a lighting program."""

    def level(self, now):
        return None
