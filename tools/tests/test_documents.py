"""The documents name only commands and options that exist."""

import functools
import itertools
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from poleward_tools.cli.main import app

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"```\w*\n(.*?)```", re.DOTALL)
COMMAND = re.compile(r"(?:^|[ /])poleward ([a-z].*)")


def commands_in(text: str) -> Iterator[list[str]]:
    """Give the words of each command; `a|b` in the documents stands for two commands."""
    lines = [
        line for block in BLOCK.findall(text) for line in block.replace("\\\n", " ").split("\n")
    ]
    lines += [code.replace("\n", " ") for code in re.findall(r"`(poleward [^`]+)`", text)]
    for line in lines:
        if found := COMMAND.search(line.replace("\\|", "|").strip()):
            words = [word.split("|") for word in shlex.split(found[1], comments=True)]
            yield from map(list, itertools.product(*words))


@functools.cache
def poleward() -> Any:
    """Build the command once: that takes longer than everything else here."""
    return typer.main.get_command(app)


def complaint(words: list[str]) -> str:
    """Say what of a command does not exist, an empty string for nothing."""
    command = poleward()
    given = iter(words)
    while hasattr(command, "get_command"):
        word = next(given, "--help")
        if word.startswith("-"):
            break
        command = command.get_command(None, word)
        if command is None:
            return f"no command '{word}' in {words}"
    known = {"--help"}.union(*((*found.opts, *found.secondary_opts) for found in command.params))
    for word in itertools.takewhile(lambda word: word != "--", given):
        if word.startswith("--") and word.partition("=")[0] not in known:
            return f"no option '{word}' in {words}"
    return ""


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_commands_and_options_in_documents_exist(document: Path) -> None:
    found = map(complaint, commands_in(document.read_text(encoding="utf-8")))
    assert [each for each in found if each] == []


def test_what_does_not_exist_is_found() -> None:
    assert complaint(["lamp", "sett"]) == "no command 'sett' in ['lamp', 'sett']"
    assert complaint(["lamp", "set", "--colour"]).startswith("no option '--colour'")
    assert complaint(["lamp", "set", "P-1", "30"]) == ""
