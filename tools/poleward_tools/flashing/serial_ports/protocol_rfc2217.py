"""A port over RFC 2217 whose line is negotiated only when something about it changes.

pyserial's own negotiates everything anew, which takes it 0.1 s at least, whenever a read timeout
is set; esptool sets one twice for each request.
"""

from serial import rfc2217


class Serial(rfc2217.Serial):
    """The port; pyserial opens `rfc2217://host:port` with the class of this name."""

    def open(self) -> None:
        """Connect and negotiate.

        Raises:
            serial.SerialException: nobody is there, or no RFC 2217 is spoken.
        """
        self._agreed: tuple[object, ...] | None = None
        super().open()

    def _reconfigure_port(self) -> None:
        wanted = (
            self._baudrate, self._bytesize, self._parity, self._stopbits, self._rtscts,
            self._xonxoff, self._write_timeout,
        )  # fmt: skip
        if wanted != self._agreed:
            super()._reconfigure_port()
            self._agreed = wanted
