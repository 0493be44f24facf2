"""SLIP framing (RFC 1055) as the ESP ROM uses it on its serial line.

Not what is in the frames.
"""

_END = b"\xc0"
_ESCAPE = b"\xdb"
_ESCAPED_END = b"\xdb\xdc"
_ESCAPED_ESCAPE = b"\xdb\xdd"


def encode(frame: bytes) -> bytes:
    """Return a frame with its delimiters."""
    escaped = frame.replace(_ESCAPE, _ESCAPED_ESCAPE).replace(_END, _ESCAPED_END)
    return _END + escaped + _END


class SlipReader:
    """Finds frames in a stream that may start anywhere and lose bytes.

    Any delimiter ends a frame and may begin the next, so a lost one costs one frame. A frame
    longer than `max_frame_bytes` is dropped. A wrong escape ends the frame it is in.
    """

    def __init__(self, max_frame_bytes: int) -> None:
        self._max_frame_bytes = max_frame_bytes
        self._partial = bytearray()
        self._is_overlong = False

    def feed(self, data: bytes) -> list[bytes]:
        """Return the frames that these bytes complete."""
        frames = []
        *ended, rest = data.split(_END)
        for part in ended:
            self._extend(part)
            frame = None if self._is_overlong else _unescape(bytes(self._partial))
            if frame:
                frames.append(frame)
            self.reset()
        self._extend(rest)
        return frames

    def reset(self) -> None:
        """Forget a frame that has begun."""
        self._partial.clear()
        self._is_overlong = False

    def _extend(self, part: bytes) -> None:
        # An escape takes two bytes for one.
        if len(self._partial) + len(part) > 2 * self._max_frame_bytes:
            self._is_overlong = True
            self._partial.clear()
        elif not self._is_overlong:
            self._partial += part


def _unescape(frame: bytes) -> bytes | None:
    pieces = frame.split(_ESCAPE)
    decoded = bytearray(pieces[0])
    for piece in pieces[1:]:
        if piece[:1] == b"\xdc":
            decoded += _END
        elif piece[:1] == b"\xdd":
            decoded += _ESCAPE
        else:
            return None
        decoded += piece[1:]
    return bytes(decoded)
