"""A report exactly as our nodes encode it, recognised and taken apart in one step.

Not SenML in general (senml.py): a pack that is written in another way is as good, only slower.
"""

import re
from typing import NamedTuple

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


class ReportForm(NamedTuple):
    """What is in a report.

    Args:
        time_s: As sent: Unix seconds, or relative to now (RFC 8428, 4.5.3).
        dropped: Reports that the node says it dropped since its boot.
        values: CBOR array: the layout's id, then a value for each of its paths.
    """

    time_s: int
    boot: int
    sequence: int
    dropped: int
    values: bytes


def read(message: bytes, start: int) -> ReportForm | None:
    """Read the pack that begins at `start` and ends the message; None for anything else."""
    found = _PACK.fullmatch(message, start)
    if found is None:
        return None
    time, boot, sequence, dropped, head, values = found.groups()
    if (head[1] if len(head) == 2 else head[0] - 0x40) != len(values):
        return None
    time_s = int.from_bytes(time[1:], "big")
    return ReportForm(
        -1 - time_s if time[0] == _NEGATIVE_32 else time_s,
        _counter(boot),
        _counter(sequence),
        0 if dropped is None else _counter(dropped),
        values,
    )


def _counter(encoded: bytes) -> int:
    """Decode an unsigned integer."""
    return encoded[0] if len(encoded) == 1 else int.from_bytes(encoded[1:], "big")
