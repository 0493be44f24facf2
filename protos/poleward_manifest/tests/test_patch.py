import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poleward_manifest import patch
from poleward_manifest.bundle import deflate
from poleward_manifest.errors import MalformedError

SOURCE = random.Random(1).randbytes(20_000)


@given(st.binary(max_size=2000), st.binary(max_size=2000))
def test_target_comes_back_from_source_and_patch(source: bytes, target: bytes) -> None:
    assert patch.apply(source, patch.make(source, target)) == target


def test_patch_of_a_small_change_is_small() -> None:
    target = SOURCE[:7000] + b"a line more" + SOURCE[7000:15_000] + SOURCE[16_000:]
    made = patch.make(SOURCE, target)
    assert patch.apply(SOURCE, made) == target
    assert len(made) < 150


def test_parts_in_another_order_are_copied_not_repeated() -> None:
    target = SOURCE[10_000:] + SOURCE[:10_000]
    made = patch.make(SOURCE, target)
    assert patch.apply(SOURCE, made) == target
    assert len(made) < 100


def test_patch_for_another_source_builds_something_else_or_is_refused() -> None:
    made = patch.make(SOURCE, SOURCE[5:])
    assert patch.apply(bytes(len(SOURCE)), made) != SOURCE[5:]
    with pytest.raises(MalformedError, match="not there"):
        patch.apply(SOURCE[:100], made)


@pytest.mark.parametrize(
    "plain", [b"\x05", b"\x85", b"\x00\x05\x00abc", b"\xff" * 9, b"\x00\x00\x03\x01\x00\x00\x00"]
)
def test_malformed_patch_is_refused(plain: bytes) -> None:
    with pytest.raises(MalformedError):
        patch.apply(b"source", deflate(plain))
    with pytest.raises(MalformedError, match="DEFLATE"):
        patch.apply(b"source", b"\xff" + plain)
