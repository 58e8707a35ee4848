"""Words that people bring from other tools, answered with ours; and where each of our keys belongs."""

from __future__ import annotations

import difflib
from functools import cache
from typing import TYPE_CHECKING, Any, Final, get_args

from pydantic import BaseModel

from skene_airflow.loop.model import TAG
from skene_airflow.loop.schema import LoopFile

if TYPE_CHECKING:
    from collections.abc import Collection

    from skene_airflow.loop.nodes import Loc

# Theirs → ours, the best guess first.
ELSEWHERE: Final[dict[str, tuple[str, ...]]] = {
    "description": ("opinion",),
    "doc": ("opinion",),
    "doc_md": ("opinion",),
    "summary": ("opinion",),
    "sql": ("query",),
    "statement": ("query",),
    "delay": ("wait",),
    "after": ("wait", "trigger"),
    "schedule": ("cron", "trigger"),
    "schedule_interval": ("cron", "trigger"),
    "on": ("trigger",),
    "audience": ("condition",),
    "filter": ("condition", "when"),
    "where": ("when", "condition"),
    "conversion": ("goal",),
    "success": ("goal",),
    "source_conn_id": ("source", "connections"),
    "postgres_conn_id": ("source", "connections"),
    "conn_id": ("source", "connections"),
    "email_conn_id": ("email", "connections"),
    "channel": ("provider", "action"),
    "tz": ("timezone",),
    "variables": ("personalization",),
    "params": ("personalization",),
    "context": ("personalization",),
    "cooldown": ("every", "entry"),
    "reentry": ("entry",),
    "control": ("holdout",),
    "throttle": ("frequency_cap",),
    "caps": ("frequency_cap",),
    "cap": ("frequency_cap",),
    "dry_run": ("mode",),
    "max_audience": ("max", "guard"),
    "retry": ("recovery",),
    "retries": ("retries", "recovery"),
    "default_args": ("recovery", "airflow"),
    "catchup": ("backfill",),
    "category": ("class", "topic"),
    "name": ("id",),
    "sender": ("from",),
    "from_email": ("from",),
    "flag": ("on_sent",),
    "mark": ("on_sent",),
    "utm_campaign": ("campaign", "utm"),
    "tests": ("variants",),
}


def renamed(key: str, allowed: Collection[str]) -> str | None:
    """The key of this map that an unknown key stands for, or None; ``allowed`` are the keys of its map."""
    for ours in _ours(key):
        if ours in allowed:
            return ours
    near = difflib.get_close_matches(_plain(key), allowed, 1, 0.7)
    return near[0] if near else None


def advise(key: str, allowed: Collection[str]) -> str:
    """What to write instead of an unknown key, where ``allowed`` are the keys of its map."""
    if key == "<<":
        return "YAML 1.2 has no merge keys; keys that loops share go into _defaults.yaml"
    if key == "id" and "steps" in allowed:
        return "a loop's id is the name of its file"
    here = renamed(key, allowed)
    if here == "connections":
        return "write it in connections: {source: …, email: …}"
    if here is not None:
        return f"it is called '{here}' here" if here in _ours(key) else f"did you mean '{here}'?"
    for word in (key, *_ours(key)):
        if places := _places().get(word):
            return f"'{word}' belongs in {places[0]}" if word == key else f"write '{word}' in {places[0]}"
    return f"the keys here are {', '.join(sorted(allowed))}"


def _plain(key: str) -> str:
    return key.lower().replace("-", "_")


def _ours(key: str) -> tuple[str, ...]:
    word = _plain(key)
    return ELSEWHERE.get(word, ("connections",) if word.endswith("_conn_id") else ())


def closest(word: object, words: Collection[str]) -> str:
    """What to write instead of a word that is not in a closed list."""
    near = difflib.get_close_matches(str(word).lower(), words, 1, 0.6)
    return f"did you mean '{near[0]}'?" if near else f"write one of {', '.join(words)}"


def keys_at(loc: Loc) -> set[str]:
    """The keys that the map at this path may have; the path still holds pydantic's union tags."""
    models = _models_at(loc)
    return {field.alias or name for model in models for name, field in model.model_fields.items() if not field.exclude}


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
