"""Commands about test rigs: `poleward rig check`.

What is checked stands in the repository's hil_tests/instruments; a rig's file leads there.
"""

import importlib
from pathlib import Path
from typing import Annotated, Any

import typer

from poleward_tools.cli.output import print_json, results
from poleward_tools.exit_codes import FAILED, USAGE, CommandError

_CHECKS = "hil_tests.instruments.rig_checks"

app = typer.Typer(no_args_is_help=True, help="Rigs for tests on boards.")


@app.callback()
def _rig() -> None:
    """Rigs for tests on boards."""


@app.command("check")
def check(
    env: Annotated[
        Path, typer.Option("--env", help="The rig's file, e.g. hil_tests/rigs/virtual.yaml.")
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
) -> None:
    """Check the rig itself: clock, and of each board port, power, sync and link.

    No board's flash is changed; their power is off afterwards. Exits with 1 when a check fails.

    Example: `poleward rig check --env hil_tests/rigs/virtual.yaml`
    """
    environment, checks = _open(env)
    findings = []
    try:
        for finding in checks.check_rig(environment):
            findings.append(finding)
            if not as_json:
                sign = "✓" if finding.is_good else "✗"
                place = f"{finding.board} {finding.check}".strip()
                results.print(f"{sign} {place}: {finding.text}", markup=False)
    finally:
        environment.cleanup()
    failed = [finding for finding in findings if not finding.is_good]
    if as_json:
        print_json({"rig": str(env), "is_good": not failed, "findings": findings})
    if failed:
        raise CommandError(f"{len(failed)} of {len(findings)} checks of {env} failed", FAILED)


def _open(env: Path) -> tuple[Any, Any]:
    """Load a rig's file; it makes the repository it belongs to importable."""
    if not env.is_file():
        raise CommandError(f"there is no rig file {env}", USAGE)
    try:
        labgrid = importlib.import_module("labgrid")
    except ImportError as error:
        message = "labgrid is not installed: pip install 'poleward[dev]', or `make setup`"
        raise CommandError(message, USAGE) from error
    try:
        environment = labgrid.Environment(str(env))
        return environment, importlib.import_module(_CHECKS)
    except (labgrid.exceptions.InvalidConfigError, labgrid.exceptions.RegistrationError) as error:
        raise CommandError(f"{env}: {error}", USAGE) from error
    except ImportError as error:
        message = f"{env} does not import instruments/rig_drivers.py of hil_tests: {error}"
        raise CommandError(message, USAGE) from error
