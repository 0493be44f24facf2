"""Buses and pins for tests of drivers: they remember and answer as told."""


class FakeUart:
    """What a test puts into `incoming` is read; what is written is kept, and may be answered."""

    def __init__(self, answers=None):
        self.incoming = b""
        self.written = []
        self.answers = answers or {}

    def read(self):
        data, self.incoming = self.incoming, b""
        return data or None

    def write(self, data):
        self.written.append(bytes(data))
        self.incoming += self.answers.get(bytes(data), b"")
        return len(data)


class FakeI2c:
    """One device; an address that is not its own is not acknowledged."""

    def __init__(self, address, answer):
        self.address = address
        self.answer = answer
        self.written = []

    def writeto(self, address, data):
        if address != self.address:
            raise OSError(19)
        self.written.append(bytes(data))

    def readfrom(self, address, size):
        if address != self.address:
            raise OSError(19)
        return self.answer[:size]


class FakePwm:
    def __init__(self):
        self.duty = 0

    def duty_u16(self, duty):
        self.duty = duty


class FakePin:
    def __init__(self):
        self.level = 0

    def value(self, level):
        self.level = level
