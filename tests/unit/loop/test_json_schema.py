"""The schema that ships: fresh, valid itself, and of one mind with the loader about loops."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator, Draft202012Validator
from pydantic import BaseModel, ValidationError

from skene_airflow.loop.json_schema import FILE, loop_schema, partial_schema, text
from skene_airflow.loop.patterns import PATTERNS, scaffold
from skene_airflow.loop.schema import LoopFile
from skene_airflow.loop.source import parse

ROOT = Path(__file__).parents[3]
BROKEN = ROOT / "tests" / "golden" / "broken"
SCHEMA = json.loads(FILE.read_text(encoding="utf-8"))
# What a schema can see: keys, kinds, words and forms; not SQL, calendars, or names that must fit together.
SEEN = {"SK012", "SK013", "SK014", "SK015", "SK016", "SK017", "SK101", "SK102", "SK103", "SK104", "SK107", "SK110"}
SEEN |= {"SK111", "SK113", "SK116", "SK117", "SK118", "SK120"}
UNSEEN = {"SK118_table"}  # the table of `trigger` must be that of `user`


def value_of(yaml: str | bytes) -> Any:
    root = parse(yaml.encode() if isinstance(yaml, str) else yaml, "x").root
    return json.loads(json.dumps(root.plain())) if root is not None else None


def is_valid(value: object, schema: dict[str, Any] = SCHEMA) -> bool:
    return Draft202012Validator(schema).is_valid(value)


def test_it_is_fresh() -> None:
    if os.environ.get("SKENE_GOLDEN") == "write":
        FILE.write_text(text(loop_schema()), encoding="utf-8")
    assert text(loop_schema()) == FILE.read_text(encoding="utf-8"), "run it once with SKENE_GOLDEN=write"


@pytest.mark.parametrize("schema", [SCHEMA, partial_schema()], ids=["loop", "partial"])
def test_it_is_a_schema_of_its_draft(schema: dict[str, Any]) -> None:
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    Draft202012Validator.check_schema(schema)


@pytest.mark.parametrize("file", [*sorted((ROOT / "loops").glob("[!_]*.yaml")), Path(__file__).with_name("whole.yaml")])
def test_every_loop_of_ours_is_valid(file: Path) -> None:
    errors = [error.message for error in Draft202012Validator(SCHEMA).iter_errors(value_of(file.read_bytes()))]
    assert errors == []


@pytest.mark.parametrize("pattern", PATTERNS)
def test_every_pattern_is_valid(pattern: str) -> None:
    assert is_valid(value_of(scaffold(pattern, "hello")["hello.yaml"]))


@pytest.mark.parametrize("file", sorted(BROKEN.glob("*.yaml")), ids=lambda file: file.stem)
def test_what_a_schema_can_see_is_refused_and_nothing_else(file: Path) -> None:
    value = value_of(file.read_bytes())
    if file.stem[:5] in SEEN and file.stem not in UNSEEN:
        assert not is_valid(value)
    elif file.stem.startswith(("SK2", "SK9")):
        assert is_valid(value)


SMALL = {"trigger": {"type": "manual"}, "condition": "SELECT 1", "action": {"type": "email", "template": "hello"}}


def loop(step: dict[str, Any] | None = None, **keys: Any) -> dict[str, Any]:
    return {"type": "x", "opinion": "x", "steps": [SMALL | (step or {})], **keys}


@pytest.mark.parametrize(
    "value",
    [
        loop(),
        loop(expires_after="36h", sample="12.5%", frequency_cap="2/7d", entry="each_run"),
        loop(entry={"per": ["a"], "every": "60d"}, holdout="100%", tags=[], owner=None),
        loop({"trigger": {"type": "asset", "asset": "dbt_users"}}),
        loop({"trigger": {"type": "asset", "asset": ["a", "b"]}}),
        loop({"trigger": {"type": "database", "table": "users", "event": "insert"}, "condition": None}),
        loop({"condition": {"type": "query", "query": "SELECT 1", "timeout": "5m"}}),
        loop({"action": {"template": "hello"}}, action={"type": "email"}),
        loop({"segments": {"by": "seen", "bands": {"active": "1d", "gone": "rest"}}}),
    ],
)
def test_it_takes_what_the_models_take(value: dict[str, Any]) -> None:
    assert is_valid(value)


@pytest.mark.parametrize(
    "value",
    [
        loop(expires_after="36 hours"),
        loop(expires_after=36),
        loop(sample="101%"),
        loop(sample=0.5),
        loop(frequency_cap="2 per week"),
        loop(entry="twice"),
        loop(entry={"each_run": True}),
        loop() | {"class": "urgent"},
        loop({"trigger": {"type": "asset", "asset": []}}),
        loop({"trigger": {"type": "schedule", "cron": "@sometimes"}}),
        loop({"trigger": {"type": "schedule", "cron": "9 * *"}}),
        loop({"condition": None}),
        loop({"action": {"template": "hello"}}),
        loop({"action": {"type": "email", "template": "hello", "variants": {"A b": {}}}}),
        loop({"action": {"type": "email", "template": "hello", "personalization": {"a-b": "x"}}}),
        loop(steps=[]),
        loop(steps=[SMALL, SMALL]),
        {"type": "x", "steps": [SMALL]},
    ],
)
def test_it_refuses_what_the_models_refuse(value: dict[str, Any]) -> None:
    assert not is_valid(value)


@pytest.mark.parametrize("file", sorted((ROOT / "loops").glob("[!_]*.yaml")), ids=lambda file: file.stem)
def test_an_editor_that_knows_an_older_draft_takes_our_loops_too(file: Path) -> None:
    older = {**SCHEMA, "$schema": "http://json-schema.org/draft-07/schema#"}
    assert Draft7Validator(older).is_valid(value_of(file.read_bytes()))


def test_the_partial_schema_lets_any_key_come_from_elsewhere() -> None:
    assert is_valid({"owner": "growth", "action": {"provider": "smtp"}}, partial_schema())
    assert is_valid({"steps": [{"trigger": {"type": "manual"}, "condition": "SELECT 1"}]}, partial_schema())
    assert not is_valid({"ownr": "growth"}, partial_schema())


def keys() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for name, definition in {"": SCHEMA, **SCHEMA["$defs"]}.items():
        for key, value in definition.get("properties", {}).items():
            yield name, key, value


@pytest.mark.parametrize(("name", "key", "value"), list(keys()), ids=lambda part: part if isinstance(part, str) else "")
def test_every_key_is_described_and_its_examples_are_valid(name: str, key: str, value: dict[str, Any]) -> None:
    assert value.get("description") or "$ref" in value
    assert "title" not in value
    for example in value.get("examples", []):
        assert is_valid(example, {**value, "$defs": SCHEMA["$defs"]}), example


def models(model: type[BaseModel], seen: set[type[BaseModel]]) -> set[type[BaseModel]]:
    from skene_airflow.loop.words import _models_in

    seen.add(model)
    for field in model.model_fields.values():
        for inner in _models_in(field.annotation):
            if inner not in seen:
                models(inner, seen)
    return seen


def test_every_key_of_every_model_is_there() -> None:
    for model in models(LoopFile, set()):
        definition = SCHEMA if model is LoopFile else SCHEMA["$defs"].get(model.__name__)
        if definition is None:
            assert model.__name__ == "RateValue"  # written as text: 2/7d
            continue
        names = {field.alias or name for name, field in model.model_fields.items() if not field.exclude}
        assert names == set(definition["properties"]), model
        assert definition["additionalProperties"] is False


def test_a_default_is_a_value_the_models_read_as_their_own() -> None:
    written = {key: value["default"] for key, value in SCHEMA["properties"].items() if "default" in value}
    assert written["expires_after"] == "24h"
    try:
        read = LoopFile.model_validate({"steps": (SMALL,), "type": "x", "opinion": "x", **written})
    except ValidationError as error:
        pytest.fail(str(error))
    assert read == LoopFile.model_validate({"steps": (SMALL,), "type": "x", "opinion": "x"})
