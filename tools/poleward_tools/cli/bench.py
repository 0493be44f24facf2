"""The command `poleward bench`: runs benchmarks and prints what they measured.

The benchmarks are in poleward_tools/bench; none of them is a test.
"""

from typing import Annotated

import typer

from poleward_tools.bench.registry import BENCHMARKS, measure
from poleward_tools.cli.options import JsonOption
from poleward_tools.cli.output import print_json, print_table, progress, results
from poleward_tools.exit_codes import FAILED, USAGE, CommandError


def bench(
    name: Annotated[str | None, typer.Argument(help="Name; without it, all of them.")] = None,
    *,
    listing: Annotated[bool, typer.Option("--list", help="Only list the names.")] = False,
    seconds: Annotated[
        float | None,
        typer.Option(min=0.1, help="How long to measure, where a benchmark can choose."),
    ] = None,
    profile: Annotated[
        str | None, typer.Option(help="The one part to run, where a benchmark has several.")
    ] = None,
    boards: Annotated[
        int | None,
        typer.Option(min=2, help="How many virtual boards, where a benchmark can choose."),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Run a benchmark, or all, and print its figures.

    Example: `poleward bench fleet-ingest --seconds 60 --json`
    """
    if listing:
        if json:
            print_json({"benchmarks": {b.name: b.measures for b in BENCHMARKS.values()}})
        else:
            print_table(("name", "measures"), ((b.name, b.measures) for b in BENCHMARKS.values()))
        return
    if name is not None and name not in BENCHMARKS:
        known = ", ".join(BENCHMARKS)
        raise CommandError(f"There is no benchmark {name}; there is {known}.", USAGE)
    if name is not None and seconds is not None and not BENCHMARKS[name].timed:
        raise CommandError(f"{name} measures as long as it takes; leave --seconds out.", USAGE)
    if name is not None and boards is not None and not BENCHMARKS[name].sized:
        raise CommandError(f"{name} has a size of its own; leave --boards out.", USAGE)
    if profile is not None:
        profiles = BENCHMARKS[name].profiles if name is not None else ()
        if profile not in profiles:
            known = ", ".join(profiles) or "none"
            raise CommandError(f"There is no profile {profile}; there is {known}.", USAGE)
    failed = []
    for benchmark in [BENCHMARKS[name]] if name else BENCHMARKS.values():
        progress.print(f"{benchmark.name}: {benchmark.measures} …")
        figures = measure(benchmark, seconds, profile, boards)
        if not figures.get("passed", True):
            failed.append(benchmark.name)
        if json:
            print_json(figures)
            continue
        results.print(f"[bold]{benchmark.name}[/bold]  {figures['machine']}")
        if parts := figures.get("profiles"):
            print_table([f"{key} #" for key in parts[0]], (part.values() for part in parts))
        left_out = ("machine", "versions", "profiles")
        print_table(
            ("figure", "value #"),
            ((key, value) for key, value in figures.items() if key not in left_out),
        )
    if failed:
        raise CommandError(f"{', '.join(failed)} did not pass; see the figures.", FAILED)
