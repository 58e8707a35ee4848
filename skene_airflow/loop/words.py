"""Words that people bring from other tools, answered with ours; and where each of our keys belongs."""

from __future__ import annotations

import difflib
import re
from functools import cache
from typing import TYPE_CHECKING, Any, Final, get_args

from pydantic import BaseModel

from skene_airflow.loop.elsewhere import ADVICE, ELSEWHERE, LOOP_NAMES, MEANINGS, PARAMETERS, PROVIDERS
from skene_airflow.loop.model import TAG
from skene_airflow.loop.schema import LoopFile

if TYPE_CHECKING:
    from collections.abc import Collection

    from skene_airflow.loop.nodes import Loc

_BEST: Final = {"query": "'condition'", "timezone": "'trigger'", "timeout": "'condition'"}


def renamed(key: str, allowed: Collection[str]) -> str | None:
    """The key of this map that an unknown key stands for, or None; ``allowed`` are the keys of its map."""
    for ours in _ours(key):
        if ours in allowed:
            return ours
    if key in allowed:
        return key
    near = difflib.get_close_matches(_plain(key), allowed, 1, 0.7)
    sure = difflib.get_close_matches(_plain(key), near, 1, 0.88)
    return near[0] if sure or (near and _plain(key) not in _places() and _plain(key) not in ADVICE) else None


def advise(loc: Loc) -> str:
    """What to write instead of the unknown key at this path, which still holds pydantic's union tags."""
    key, allowed = str(loc[-1]), keys_at(loc[:-1])
    if odd := _odd(key):
        return odd
    word = _plain(key)
    if "steps" in allowed and word in LOOP_NAMES:
        return "a loop's id is the name of its file"
    if "query" in allowed and word in PARAMETERS:
        return "the one parameter of a query is :as_of, the time the run is for"
    here = renamed(key, allowed)
    if here == "connections":
        return "write it in connections: {source: …, email: …}"
    if here is not None:
        return f"it is called '{here}' here" if here in _ours(key) else f"did you mean '{here}'?"
    if word in ADVICE:
        return ADVICE[word]
    for ours in (word, *_ours(key)):
        if place := _place(ours, loc):
            return f"'{ours}' belongs {place}" if ours == word else f"write '{ours}' {place.removeprefix('to ')}"
    return f"the keys here are {', '.join(sorted(allowed))}"


def _odd(key: str) -> str:
    """What to write instead of a key that was not meant as one."""
    if key == "<<":
        return "YAML 1.2 has no merge keys; keys that loops share go into _defaults.yaml"
    if key.startswith(("//", "/*")):
        return "a comment begins with '#'"
    if key.startswith(("x-", "x_", ".")):
        return "keys that loops share go into _defaults.yaml"
    return f"write a space behind the '-': `- {key[1:]}:`" if re.match(r"-\w", key) else ""


def _place(key: str, loc: Loc) -> str:
    """Where a key of the language belongs, as seen from a path that does not have it."""
    types = [_tag(model).removeprefix(TAG) for model in _models_at(_untagged(loc[:-1])) if key in _keys(model)]
    if types and all(types):
        return f"to type: {' or '.join(types)}"
    places = _places().get(key, [])
    if not places:
        return ""
    if "steps" in loc and "a step" in places:
        return "in a step"
    return f"in {_BEST.get(key, places[0])}"


def _untagged(loc: Loc) -> Loc:
    return tuple(part for part in loc if not (isinstance(part, str) and part.startswith(TAG)))


def _plain(key: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", key).lower().replace("-", "_").replace(" ", "_")


def _ours(key: str) -> tuple[str, ...]:
    word = _plain(key)
    return ELSEWHERE.get(word, ("connections",) if word.endswith("_conn_id") else ())


def closest(word: object, words: Collection[str]) -> str:
    """What to write instead of a word that is not in a closed list."""
    spoken = _plain(str(word))
    for ours in MEANINGS.get(spoken, ()):
        if ours in words:
            return f"write {ours}"
    if spoken in PROVIDERS and "smtp" in words:
        return "write smtp, and that provider's SMTP server in the Airflow connection"
    near = difflib.get_close_matches(str(word).lower(), words, 1, 0.6)
    return f"did you mean '{near[0]}'?" if near else f"write one of {', '.join(words)}"


def keys_at(loc: Loc) -> set[str]:
    """The keys that the map at this path may have; the path still holds pydantic's union tags."""
    models = _models_at(loc)
    return {key for model in models for key in _keys(model)}


def types_at(loc: Loc) -> dict[str, set[str]]:
    """Every ``type`` that the map at this path may have, with the keys that belong to it."""
    return {tag.removeprefix(TAG): _keys(model) for model in _models_at(loc) if (tag := _tag(model))}


def _keys(model: type[BaseModel]) -> set[str]:
    return {field.alias or name for name, field in model.model_fields.items() if not field.exclude}


def description(loc: Loc) -> str:
    """What the key at this path means; empty for a path that the language does not have."""
    for model in _models_at(loc[:-1]):
        for name, field in model.model_fields.items():
            if (field.alias or name) == loc[-1]:
                return field.description or ""
    return ""


def _models_at(loc: Loc) -> list[type[BaseModel]]:
    models: list[type[BaseModel]] = [LoopFile]
    for part in loc:
        if isinstance(part, str) and part.startswith(TAG):
            models = [model for model in models if _tag(model) == part] or models
        elif isinstance(part, str):
            models = [inner for model in models for inner in _inner(model, part)]
    return models


def _tag(model: type[BaseModel]) -> str:
    kind = model.model_fields.get("type")
    return f"{TAG}{get_args(kind.annotation)[0]}" if kind is not None and get_args(kind.annotation) else ""


def _inner(model: type[BaseModel], key: str) -> list[type[BaseModel]]:
    for name, field in model.model_fields.items():
        if (field.alias or name) == key:
            return _models_in(field.annotation)
    return []


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for inner in get_args(annotation) for model in _models_in(inner)]


@cache
def _places() -> dict[str, list[str]]:
    """Every key of the language → the maps it may stand in, as people read them."""
    found: dict[str, list[str]] = {}
    todo: list[tuple[type[BaseModel], str]] = [(LoopFile, "")]
    seen = set()
    while todo:
        model, place = todo.pop(0)
        if model in seen:
            continue
        seen.add(model)
        for name, field in model.model_fields.items():
            key = field.alias or name
            found.setdefault(key, []).append(place or "the loop itself")
            todo += [(inner, "a step" if key == "steps" else f"'{key}'") for inner in _models_in(field.annotation)]
    return found
