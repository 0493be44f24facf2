"""A report exactly as our nodes encode it, recognised and taken apart in one step.

Not SenML in general (senml.py): a pack that is written in another way is as good, only slower.
"""

import re

_COUNTER = rb"([\x00-\x17]|\x18.|\x19..|\x1a....)"  # RFC 8949, 3.1: major type 0
_TIME = rb"([\x1a\x3a]....)"
# Base name, base time and boot count; sequence number; perhaps dropped reports; values.
_PACK = re.compile(
    rb"[\x83\x84]\xa4\x21\x69/26241/0/\x22" + _TIME + rb"\x00\x610\x02" + _COUNTER
    + rb"\xa2\x00\x611\x02" + _COUNTER
    + rb"(?:\xa2\x00\x612\x02" + _COUNTER + rb")?"
    + rb"\xa2\x00\x614\x08([\x40-\x57]|\x58.)(.+)",
    re.DOTALL,
)  # fmt: skip
_NEGATIVE_32 = 0x3A


# By the bytes of an unsigned integer (RFC 8949, 3): what its head adds to them as one number.
_HEADS = (0, 0, 0x18 << 8, 0x19 << 16, 0, 0x1A << 32)


def read(message: bytes, start: int) -> tuple[int, int, int, int, bytes] | None:
    """Read the pack that begins at `start` and ends the message; None for anything else.

    Returns:
        Time in seconds as sent: Unix time, or relative to now (RFC 8428, 4.5.3); boot count;
        sequence number; reports that the node says it dropped since its boot; and the values, a
        CBOR array of the layout's id and a value for each of its paths.
    """
    found = _PACK.fullmatch(message, start)
    if found is None:
        return None
    time, boot, sequence, dropped, head, values = found.groups()
    if (head[1] if len(head) == 2 else head[0] - 0x40) != len(values):
        return None
    time_s = int.from_bytes(time[1:], "big")
    return (
        -1 - time_s if time[0] == _NEGATIVE_32 else time_s,
        int.from_bytes(boot, "big") - _HEADS[len(boot)],
        int.from_bytes(sequence, "big") - _HEADS[len(sequence)],
        0 if dropped is None else int.from_bytes(dropped, "big") - _HEADS[len(dropped)],
        values,
    )
