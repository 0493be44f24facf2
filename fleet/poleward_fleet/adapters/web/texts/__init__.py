"""Every text that a person reads on a page, in English and Chinese, and the choice between them.

Not the names of metrics; those are in domain/metrics.py.
"""

from collections.abc import Sequence
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
    people_words,
    pole_words,
    poles,
    rollout_wizard,
    rollout_words,
    strangers,
    table_words,
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
    **pole_words.TEXTS,
    **poles.TEXTS,
    **rollout_wizard.TEXTS,
    **rollout_words.TEXTS,
    **people.TEXTS,
    **people_words.TEXTS,
    **strangers.TEXTS,
    **table_words.TEXTS,
    **tables.TEXTS,
    **trust.TEXTS,
    **updates.TEXTS,
}

# Values of sentences that are names of ours, or lists of such, and under which keys these have
# words.
_NAMED = {
    "action": ("action",),
    "field": ("wizard", "rollouts"),
    "life": ("life",),
    "lives": ("life",),
    "name": ("wizard", "rollouts"),
    "permission": ("permission",),
    "permissions": ("permission",),
    "roles": ("role",),
    "state": ("rollout", "approval"),
    "step": ("step",),
    "table": ("tables",),
    "wanted": ("rollout",),
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
    values = {
        name: say(language, value)
        if isinstance(value, Words)
        else _named(language, value, _NAMED.get(name, ()))
        for name, value in words.values
    }
    return translate(language, f"words.{words.key}", **values)


def _named(language: Language, value: str | int, prefixes: Sequence[str]) -> str | int:
    if not prefixes or isinstance(value, int):
        return value
    between = "、" if language is Language.ZH else ", "
    return between.join(_name(language, name, prefixes) for name in value.split(", "))


def _name(language: Language, name: str, prefixes: Sequence[str]) -> str:
    for prefix in prefixes:
        if (key := f"{prefix}.{name.replace(' ', '_')}") in TEXTS:
            return translate(language, key)
    return name


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
