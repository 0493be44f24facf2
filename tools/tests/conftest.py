"""Fleets for the tests of the client and the commands."""

from collections.abc import Iterator

import pytest

from fake_fleet import RunningFleet


@pytest.fixture
def fleet() -> Iterator[RunningFleet]:
    running = RunningFleet()
    yield running
    running.close()


@pytest.fixture
def impostor() -> Iterator[RunningFleet]:
    """Another fleet with another CA."""
    running = RunningFleet()
    yield running
    running.close()
