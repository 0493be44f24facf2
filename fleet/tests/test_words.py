"""The fleet's sentences: each has one key, and is given the values that it needs."""

import ast
import importlib
import pkgutil
import string
from collections.abc import Iterator
from pathlib import Path

import poleward_fleet
from poleward_fleet.adapters.web import texts
from poleward_fleet.domain.people_words import PEOPLE_WORDS
from poleward_fleet.domain.pole_words import POLE_WORDS
from poleward_fleet.domain.rollout_words import ROLLOUT_WORDS
from poleward_fleet.domain.table_words import TABLE_WORDS
from poleward_fleet.domain.words import WORDS


def said() -> Iterator[tuple[str, set[str]]]:
    """Yield key and names of values of each sentence that is made in the sources."""
    for path in Path(poleward_fleet.__path__[0]).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr == "of"
                and len(node.args) == 1
                and isinstance(key := node.args[0], ast.Constant)
                and isinstance(key.value, str)
                and all(keyword.arg for keyword in node.keywords)
            ):
                yield key.value, {str(keyword.arg) for keyword in node.keywords}


def test_no_two_tables_have_a_key_in_common() -> None:
    tables = (PEOPLE_WORDS, POLE_WORDS, ROLLOUT_WORDS, TABLE_WORDS)
    assert len(WORDS) == sum(map(len, tables))
    pages = [
        importlib.import_module(f"{texts.__name__}.{found.name}").TEXTS
        for found in pkgutil.iter_modules(texts.__path__)
    ]
    assert len(texts.TEXTS) == sum(map(len, pages))


def test_each_sentence_is_given_what_it_says() -> None:
    found = list(said())
    assert len(found) > 100
    for key, given in found:
        needed = {name for _, name, _, _ in string.Formatter().parse(WORDS[key]) if name}
        assert needed == given, key
