"""Lives a node again and again with a power cut at given operations; a process of the bench.

Run as a program by `power_cut`: it loads the VM once and forks it for each life. Writes one line of
JSON for each cut to standard output.
"""

import json
import os
import shutil
import sys
from pathlib import Path

_ON_VM = Path(__file__).parent / "power_cut_on_vm.py"
_HEAP = "heapsize=256k"
_CONFIRMED, _RESET, _CUT = 0, 3, 9
_LIVES_MAX = 6
_SIDE_FILES = (".operations", ".nvs")


def main() -> None:
    """Take every cut of the argument list: MODULES PLACE SCRATCH CUT…; cut 0 is none."""
    modules, place, scratch, *cuts = sys.argv[1:]
    for cut in cuts:
        outcome = _live_through(modules, Path(place), Path(scratch), int(cut))
        sys.stdout.write(json.dumps(outcome) + "\n")
        sys.stdout.flush()


def _live_through(modules: str, place: Path, scratch: Path, cut: int) -> dict[str, object]:
    """Start from the factory's flash and live until the new release is confirmed, or it cannot."""
    flash = scratch / "flash"
    shutil.copyfile(place / "flash", flash)
    for end in _SIDE_FILES:
        flash.with_name(flash.name + end).unlink(missing_ok=True)
    if (place / "apps").is_file():
        shutil.copyfile(place / "apps", flash.with_name(flash.name + ".apps"))
    codes = []
    for _ in range(_LIVES_MAX):
        codes.append(_live(modules, str(place), str(flash), scratch / "log", cut))
        if codes[-1] not in (_RESET, _CUT):
            break
    operations = int(flash.with_name(flash.name + ".operations").read_text())
    outcome: dict[str, object] = {"cut": cut, "lives": codes, "operations": operations}
    if codes[-1] != _CONFIRMED:
        outcome["log"] = (scratch / "log").read_text(errors="replace")
    return outcome


def _live(modules: str, place: str, flash: str, log: Path, cut: int) -> int:
    """Fork the VM for one life and return its exit code; a signal counts as 128 and its number."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            written = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            os.dup2(written, 1)
            os.dup2(written, 2)
            import micropython_run

            code = micropython_run.run_main(
                ["micropython", "-X", _HEAP, str(_ON_VM), modules, place, flash, str(cut)]
            )
        finally:
            os._exit(code)
    _, status = os.waitpid(pid, 0)
    return 128 + os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)


if __name__ == "__main__":
    import micropython_run  # noqa: F401 - loaded once, for all the forks

    main()
