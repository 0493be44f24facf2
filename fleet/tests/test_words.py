"""Sentences by key: what is said, and its translations."""

import importlib
import pkgutil

from poleward_fleet.adapters.web import texts
from poleward_fleet.domain.people_words import PEOPLE_WORDS
from poleward_fleet.domain.pole_words import POLE_WORDS
from poleward_fleet.domain.rollout_words import ROLLOUT_WORDS
from poleward_fleet.domain.table_words import TABLE_WORDS
from poleward_fleet.domain.words import WORDS


def test_no_key_stands_for_two_sentences() -> None:
    parts = (PEOPLE_WORDS, POLE_WORDS, ROLLOUT_WORDS, TABLE_WORDS)
    assert sum(map(len, parts)) == len(WORDS)
    pages = [
        importlib.import_module(f"{texts.__name__}.{found.name}").TEXTS
        for found in pkgutil.iter_modules(texts.__path__)
    ]
    assert sum(map(len, pages)) == len(texts.TEXTS)
