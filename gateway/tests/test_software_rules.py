"""Which of its own releases a gateway starts, whatever happened before."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poleward_gateway.domain.software import (
    INSTALLED,
    Schema,
    SoftwareRecord,
    TrialFacts,
    begin,
    confirm,
    give_back,
    refusal_of_schema,
    room_needed_bytes,
    still_lacks,
    try_next,
)
from poleward_gateway.domain.updates import NodeUpdate, UpdateState

OLD, NEW = b"o" * 32, b"n" * 32
RUNNING = SoftwareRecord(confirmed=OLD, previous=INSTALLED)
HEALTHY = TrialFacts(fleet_connected=True, disk_works=True, registered=10, heard=9)
RELEASES = st.sampled_from((INSTALLED, OLD, NEW))
RECORDS = st.builds(
    SoftwareRecord,
    confirmed=RELEASES,
    previous=RELEASES,
    trial=st.none() | st.sampled_from((OLD, NEW)),
    is_begun=st.booleans(),
)


def test_a_release_is_tried_once_and_kept_when_it_is_confirmed() -> None:
    record, started = begin(try_next(RUNNING, NEW, 60), lambda _: True)
    assert (started, record.is_begun, record.trial_s) == (NEW, True, 60)
    kept = confirm(record)
    assert (kept.confirmed, kept.previous, kept.trial) == (NEW, OLD, None)
    assert kept.ended == NodeUpdate(NEW, UpdateState.CONFIRMED)
    assert begin(kept, lambda _: True) == (kept, NEW)


def test_a_release_that_did_not_confirm_is_not_started_again() -> None:
    tried, _ = begin(try_next(RUNNING, NEW, 60), lambda _: True)
    record, started = begin(tried, lambda _: True)
    assert (started, record.trial) == (OLD, None)
    assert record.ended == NodeUpdate(NEW, UpdateState.RETURNED, "it ended before it was confirmed")


def test_what_is_not_whole_is_never_started() -> None:
    record, started = begin(try_next(RUNNING, NEW, 60), lambda release: release == OLD)
    assert started == OLD
    assert record.ended is not None
    assert record.ended.reason == "it is not whole"
    damaged = SoftwareRecord(confirmed=NEW, previous=OLD)
    assert begin(damaged, lambda release: release == OLD)[1] == OLD
    assert begin(damaged, lambda _: False)[1] == INSTALLED


@given(RECORDS, st.sets(st.sampled_from((OLD, NEW))))
def test_every_start_runs_something_whole_and_a_second_one_no_trial(
    record: SoftwareRecord, whole: set[bytes]
) -> None:
    written, started = begin(record, whole.__contains__)
    assert started == INSTALLED or started in whole
    again, second = begin(written, whole.__contains__)
    assert again.trial is None
    assert second == INSTALLED or second in whole
    assert begin(again, whole.__contains__) == (again, second)


def test_only_what_may_run_again_is_kept() -> None:
    assert RUNNING.kept == {OLD}
    assert try_next(RUNNING, NEW, 60).kept == {OLD, NEW}
    assert give_back(try_next(RUNNING, NEW, 60), "why").kept == {OLD}


@pytest.mark.parametrize(
    ("change", "lacks"),
    [
        ({}, ""),
        ({"registered": 0, "heard": 0}, ""),
        ({"heard": 8}, "8 of 10 nodes were heard"),
        ({"fleet_connected": False}, "the fleet was not reached"),
        ({"disk_works": False}, "reports do not reach the disk"),
    ],
)
def test_a_release_on_trial_has_to_do_its_work(change: dict[str, Any], lacks: str) -> None:
    assert still_lacks(replace(HEALTHY, **change)) == lacks


def test_a_download_needs_room_for_what_it_becomes() -> None:
    assert room_needed_bytes(10_000_000) > 40_000_000


@pytest.mark.parametrize(
    ("tried", "running", "words"),
    [
        (Schema(3, 2), Schema(2, 1), ""),
        (Schema(2, 1), Schema(3, 2), ""),
        (Schema(4, 3), Schema(2, 1), "from schema 3 on, this gateway has 2"),
        (Schema(2, 1), Schema(4, 3), "up to schema 2, and this one can be used from 3 on"),
    ],
)
def test_a_release_takes_over_a_database_that_both_can_use(
    tried: Schema, running: Schema, words: str
) -> None:
    refusal = refusal_of_schema(tried, running)
    assert words in refusal
    assert bool(words) == bool(refusal)
