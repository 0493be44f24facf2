"""A pytest plugin for tests on boards: failure or error, one retry, quarantine, artefacts.

Not the verdict itself; that is the test's. It acts on tests with the marker `board` only.
"""

from collections.abc import Generator
from pathlib import Path

import pytest
from _pytest.runner import call_and_report
from _pytest.terminal import TerminalReporter

from hil_tests.instruments.bench import BenchBoard
from hil_tests.instruments.errors import InfrastructureError
from hil_tests.instruments.quarantine import Quarantine

MARKER = "board"
FLAKE = "flake"
_CONSOLE_CHARACTERS = 6000


class Outcomes:
    """Rules for the outcome of a test on a board.

    1. A broken rig is an error, never a failure: whatever raised InfrastructureError, in whatever
       phase, is reported as pytest reports a fixture that failed.
    2. A test that did not pass is run once more; its board is power-cycled at the start of the
       lease. If it passes then, it counts as passed and as a flake, which the end of the run, its
       JUnit file and the exit summary name.
    3. A quarantined test is executed and its failure is an expected one.
    4. Consoles and captures of a test that did not pass are kept in a folder of its own.
    """

    def __init__(self, quarantine: Quarantine, artefacts: Path) -> None:
        self._quarantine = quarantine
        self._artefacts = artefacts
        self._attempt: dict[str, int] = {}

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Excuse what is quarantined (3)."""
        for item in items:
            entry = self._quarantine.entry(item.nodeid)
            if entry and item.get_closest_marker(MARKER):
                reason = f"quarantined until {entry.expires} by {entry.owner}: {entry.reason}"
                item.add_marker(pytest.mark.xfail(reason=reason, strict=False))

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(
        self, item: pytest.Item, nextitem: pytest.Item | None
    ) -> bool | None:
        """Run a test once, and once more when it did not pass (2)."""
        if item.get_closest_marker(MARKER) is None:
            return None
        item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
        self._attempt[item.nodeid] = 1
        reports, has_passed = _run_once(item, nextitem)
        if not has_passed:
            self._attempt[item.nodeid] = 2
            again, has_passed = _run_once(item, nextitem, is_last=True)
            if has_passed:
                first = next(report for report in reports if report.failed)
                reason = str(first.longrepr).strip().splitlines()[-1]
                again[-1].user_properties.append((FLAKE, f"{item.nodeid}: {reason}"))
            reports = again
        for report in reports:
            item.ihook.pytest_runtest_logreport(report=report)
        item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
        return True

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Tell errors from failures (1) and keep what a failure leaves (4)."""
        report = yield
        if item.get_closest_marker(MARKER) is None or not report.failed:
            return report
        if call.excinfo and is_infrastructure(call.excinfo.value) and report.when == "call":
            report.when = "setup"  # what pytest calls an error
        for board in _boards_of(item):
            text = board.console.text()
            report.sections.append((f"console of {board.name}", text[-_CONSOLE_CHARACTERS:]))
            folder = self._artefacts / _folder_name(item.nodeid, self._attempt.get(item.nodeid, 1))
            board.save_artefacts(folder / board.name)
            report.sections.append((f"artefacts of {board.name}", str(folder / board.name)))
        return report

    def pytest_terminal_summary(self, terminalreporter: TerminalReporter) -> None:
        """Name the flakes, and the entries of the quarantine that excuse nothing any more."""
        flakes = {
            value
            for reports in terminalreporter.stats.values()
            for report in reports
            for name, value in getattr(report, "user_properties", ())
            if name == FLAKE
        }
        if flakes:
            terminalreporter.section(f"{len(flakes)} flaky on boards: passed after a power-cycle")
            for flake in sorted(flakes):
                terminalreporter.write_line(flake)
        for entry in self._quarantine.expired:
            terminalreporter.write_line(
                f"quarantine of {entry.test} expired on {entry.expires}; {entry.owner} to act"
            )


def _run_once(
    item: pytest.Item, nextitem: pytest.Item | None, *, is_last: bool = False
) -> tuple[list[pytest.TestReport], bool]:
    """Run a test's phases as pytest does, and tell whether it passed.

    Unless it is the last run, what a failed test shares with others outlives its teardown: the
    second run needs it.
    """
    item._initrequest()  # type: ignore[attr-defined]
    reports = [call_and_report(item, "setup", log=False)]
    if reports[0].passed:
        reports.append(call_and_report(item, "call", log=False))
    has_passed = not any(report.failed for report in reports)
    ends_before = nextitem if has_passed or is_last else item.parent
    reports.append(call_and_report(item, "teardown", log=False, nextitem=ends_before))
    # Fixtures must not live on through the item; pytest's own protocol ends the same way.
    item._request = item.funcargs = None  # type: ignore[attr-defined]
    return reports, has_passed


def is_infrastructure(error: BaseException | None) -> bool:
    """Tell whether an error is the rig's, or was raised because of one that is."""
    while error is not None:
        if isinstance(error, InfrastructureError):
            return True
        error = error.__cause__ or error.__context__
    return False


def _boards_of(item: pytest.Item) -> list[BenchBoard]:
    found: dict[str, BenchBoard] = {}
    for value in getattr(item, "funcargs", {}).values():
        for board in value if isinstance(value, list) else [value]:
            if isinstance(board, BenchBoard):
                found[board.name] = board
    return list(found.values())


def _folder_name(test_id: str, attempt: int) -> str:
    name = test_id.rpartition("/")[2].replace("::", ".")
    safe = "".join(letter if letter.isalnum() or letter in "._-" else "_" for letter in name)
    return f"{safe}.{attempt}"
