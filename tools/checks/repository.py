"""Rules about the repository itself that no linter knows: names, sizes, marks, documents' paths."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
BANNED_NAMES = {"utils", "util", "common", "helpers", "helper", "misc", "manager"}
LINE_BUDGET = 500
# A file over the budget needs a reason here.
OVER_BUDGET: dict[str, str] = {}
# Lines that switch a rule off; lower this when there are fewer, never raise it.
MARKS_MAX = 180
MARK = re.compile(r"# (?:noqa|type: ignore)")
DOCUMENTS = ("README.md", "CHANGELOG.md", "docs")
PATH_IN_DOCUMENT = re.compile(
    r"`((?:firmware|gateway|fleet|protos|hil_tests|tools|docs)/[\w./{}*-]+)`"
)


def tracked(pattern: str) -> list[Path]:
    """List the files that git tracks or would track, by pattern."""
    listing = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", pattern],
        cwd=ROOT, check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    return [ROOT / line for line in listing.splitlines() if (ROOT / line).exists()]


def complaints() -> list[str]:
    """Collect every broken rule as one line that says what to do."""
    found = []
    marks = 0
    for path in tracked("*.py"):
        name = path.relative_to(ROOT).as_posix()
        if name.startswith("protos/gen/"):
            continue
        if path.stem in BANNED_NAMES:
            found.append(f"{name}: name it after what it holds, not '{path.stem}'")
        text = path.read_text(encoding="utf-8")
        marks += sum(MARK.search(line) is not None for line in text.splitlines())
        lines = text.count("\n")
        if lines > LINE_BUDGET and name not in OVER_BUDGET:
            found.append(f"{name}: {lines} lines; split it where the second noun appears")
        if lines <= LINE_BUDGET and name in OVER_BUDGET:
            found.append(f"{name}: within the budget again; take it off the list")
    if marks > MARKS_MAX:
        found.append(f"{marks} lines switch a rule off, at most {MARKS_MAX} may: mend the newest")
    for document in DOCUMENTS:
        for path in tracked(document):
            if path.suffix != ".md":
                continue
            for target in PATH_IN_DOCUMENT.findall(path.read_text(encoding="utf-8")):
                if "{" not in target and not list(ROOT.glob(target)):
                    found.append(f"{path.relative_to(ROOT)}: names {target}, which does not exist")
    return found


if __name__ == "__main__":
    broken = complaints()
    for line in broken:
        print(line, file=sys.stderr)
    sys.exit(1 if broken else 0)
