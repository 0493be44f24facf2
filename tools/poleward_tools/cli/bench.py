"""The command `poleward bench`: runs benchmarks and prints what they measured.

The benchmarks are in poleward_tools/bench; none of them is a test.
"""

from typing import Annotated

import typer

from poleward_tools.bench.registry import BENCHMARKS, measure
from poleward_tools.cli.options import JsonOption
from poleward_tools.cli.output import print_json, print_table, progress, results
from poleward_tools.exit_codes import USAGE, CommandError


def bench(
    name: Annotated[str | None, typer.Argument(help="Name; without it, all of them.")] = None,
    *,
    listing: Annotated[bool, typer.Option("--list", help="Only list the names.")] = False,
    seconds: Annotated[
        float | None,
        typer.Option(min=0.1, help="How long to measure, where a benchmark can choose."),
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
    for benchmark in [BENCHMARKS[name]] if name else BENCHMARKS.values():
        progress.print(f"{benchmark.name}: {benchmark.measures} …")
        figures = measure(benchmark, seconds)
        if json:
            print_json(figures)
            continue
        results.print(f"[bold]{benchmark.name}[/bold]  {figures['machine']}")
        print_table(
            ("figure", "value #"),
            ((key, value) for key, value in figures.items() if key not in ("machine", "versions")),
        )
