"""Every text that a person reads on a page, in English and Chinese, and the choice between them.

Not the names of metrics; those are in domain/metrics.py.
"""

from enum import Enum

from poleward_fleet.adapters.web.texts import (
    alarms,
    audit,
    city_map,
    commissioning,
    frame,
    gateways,
    lighting,
    nodes,
    people,
    poles,
    rollout_wizard,
    rollout_words,
    strangers,
    tables,
    trust,
    updates,
)
from poleward_fleet.domain.words import Words


class Language(Enum):
    """A language that the pages speak; the value is its BCP 47 tag."""

    EN = "en"
    ZH = "zh-CN"


# key -> (English, Chinese). Keys that begin with "js." go to the browser's modules.
TEXTS: dict[str, tuple[str, str]] = {
    **alarms.TEXTS,
    **audit.TEXTS,
    **frame.TEXTS,
    **gateways.TEXTS,
    **city_map.TEXTS,
    **lighting.TEXTS,
    **commissioning.TEXTS,
    **nodes.TEXTS,
    **poles.TEXTS,
    **rollout_wizard.TEXTS,
    **rollout_words.TEXTS,
    **people.TEXTS,
    **strangers.TEXTS,
    **tables.TEXTS,
    **trust.TEXTS,
    **updates.TEXTS,
}

# Values of sentences that are names of states and fields, and under which keys these have words.
_NAMED = {
    "state": ("rollout",),
    "wanted": ("rollout",),
    "field": ("wizard", "rollouts"),
    "name": ("wizard", "rollouts"),
}


def translate(language: Language, key: str, /, **values: object) -> str:
    """Return a text in a language with its {values} filled in.

    Raises:
        KeyError: There is no such text; add it above.
    """
    english, chinese = TEXTS[key]
    text = chinese if language is Language.ZH else english
    return text.format(**values) if values else text


def say(language: Language, words: Words) -> str:
    """Return a sentence of the fleet in a language; what came from a node stays as it is."""
    if not words.key:
        return str(words)
    values = dict(words.values)
    for name, value in words.values:
        if isinstance(value, Words):
            values[name] = say(language, value)
        for prefix in _NAMED.get(name, ()):
            if f"{prefix}.{value}" in TEXTS:
                values[name] = translate(language, f"{prefix}.{value}")
    return translate(language, f"words.{words.key}", **values)


def browser_texts(language: Language) -> dict[str, str]:
    """Return the texts for the browser's modules by key, without the "js." in front."""
    texts = {key[3:]: translate(language, key) for key in TEXTS if key.startswith("js.")}
    texts |= {key: translate(language, key) for key in TEXTS if key.startswith("status.")}
    return texts


def negotiate(cookie: str | None, accept_language: str) -> Language:
    """Choose the language: what the person chose, else the first that the browser prefers.

    Args:
        cookie: Value of the language cookie, if any.
        accept_language: The Accept-Language header (RFC 9110, 12.5.4).
    """
    for language in Language:
        if cookie == language.value:
            return language
    weighted: list[tuple[float, int, Language]] = []
    for position, part in enumerate(accept_language.split(",")):
        tag, _, parameter = part.strip().partition(";")
        try:
            weight = float(parameter.strip().removeprefix("q=")) if parameter else 1.0
        except ValueError:
            weight = 0.0
        primary = tag.split("-")[0].lower()
        for language in Language:
            if weight > 0 and primary == language.value.split("-")[0]:
                weighted.append((-weight, position, language))
    return min(weighted, key=lambda entry: entry[:2])[2] if weighted else Language.EN
