"""The language as JSON Schema (draft 2020-12), made from the models, for editors and other tools.

A test keeps the file that ships fresh, and writes it anew with ``SKENE_GOLDEN=write``.
"""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema

from skene_airflow.loop.actions import Action
from skene_airflow.loop.examples import EXAMPLES
from skene_airflow.loop.fields import SOME
from skene_airflow.loop.forms import duration_text
from skene_airflow.loop.schema import LoopFile
from skene_airflow.loop.triggers import PRESETS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic.json_schema import JsonSchemaValue
    from pydantic_core import core_schema

FILE: Final = Path(__file__).with_name("loop.schema.json")
DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"

_PERCENTAGE: Final = r"^(100(\.0{1,6})?|[0-9]{1,2}(\.[0-9]{1,6})?)\s?%$"
_NEEDS_CONDITION: Final = ["schedule", "asset", "manual"]
_ROOTS: Final = ["schedule", "database", "asset", "manual"]


def loop_schema() -> dict[str, Any]:
    """The schema of one loop file that inherits nothing from a ``_defaults.yaml``."""
    schema = LoopFile.model_json_schema(schema_generator=_Generator)
    definitions = schema.pop("$defs")
    definitions["LoopFile"] = schema
    for name, definition in definitions.items():
        _tidy(definition, name)
    action = TypeAdapter(Action).json_schema(schema_generator=_Generator, ref_template="#/$defs/{model}")
    definitions["Action"] = {"oneOf": action["oneOf"], "description": "What each person gets."}
    _inherit(definitions["Step"])
    schema = definitions.pop("LoopFile")
    schema["properties"]["entry"]["default"] = "once"
    return {
        "$schema": DIALECT,
        "title": "A skene loop",
        "description": "One YAML file in loops/ is one loop: who, what, when. It becomes an Airflow DAG.",
        **{key: value for key, value in schema.items() if key not in ("title", "description")},
        "allOf": list(_together()),
        "$defs": dict(sorted(definitions.items())),
    }


def partial_schema() -> dict[str, Any]:
    """The schema of ``_defaults.yaml``, and of loops below one: any key may come from somewhere else."""
    schema = loop_schema()
    del schema["required"], schema["allOf"]
    schema["title"] = "A skene loop that inherits, or what it inherits"
    schema["$defs"]["Step"].pop("required", None)
    return schema


def text(schema: dict[str, Any]) -> str:
    """A schema as the file that ships."""
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


class _Generator(GenerateJsonSchema):
    schema_dialect = DIALECT

    def function_after_schema(self, schema: core_schema.AfterValidatorFunctionSchema) -> JsonSchemaValue:
        inner = super().function_after_schema(schema)
        if schema["function"]["function"] is SOME.func:
            for part in inner.get("anyOf", [inner]):
                least = {"array": "minItems", "object": "minProperties", "string": "minLength"}[part["type"]]
                part[least] = 1
        return inner

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        found = super().default_schema(schema)
        if isinstance(schema.get("default"), timedelta):
            found["default"] = duration_text(schema["default"])
        return found


def _tidy(definition: dict[str, Any], name: str) -> None:
    """Leave out what only repeats the key's name, close what is closed, and add the examples."""
    for part in _parts(definition):
        _tidy_part(part)
    for key, value in definition.get("properties", {}).items():
        value.pop("title", None)
        for inner in value.get("anyOf", []):
            if "examples" in inner:  # what pydantic says of the type belongs to the key
                value.setdefault("examples", inner.pop("examples"))
        if key in EXAMPLES.get(name, {}):
            value["examples"] = EXAMPLES[name][key]
    if name == "ScheduleTrigger":
        presets = "|".join(preset[1:] for preset in PRESETS)
        definition["properties"]["cron"]["pattern"] = rf"^(@({presets})|\s*\S+(\s+\S+){{4}}\s*)$"
    if name == "EmailAction":
        names = {"^[A-Za-z_][A-Za-z0-9_]*$": definition["properties"]["personalization"]["additionalProperties"]}
        definition["properties"]["personalization"] |= {"patternProperties": names, "additionalProperties": False}


def _tidy_part(part: dict[str, Any]) -> None:
    if part.get("default", ...) is None or part.get("default") == []:
        del part["default"]
    if part.get("examples") == []:
        del part["examples"]
    if part.pop("propertyNames", None) is not None or "patternProperties" in part:
        part["additionalProperties"] = False
    if "%" in part.get("pattern", ""):
        part["pattern"] = _PERCENTAGE


def _parts(value: object) -> Iterator[dict[str, Any]]:
    """Every schema within a schema; a map of properties is none itself."""
    if isinstance(value, list):
        for item in value:
            yield from _parts(item)
    elif isinstance(value, dict):
        yield value
        for key, inner in list(value.items()):
            if key in ("properties", "patternProperties", "$defs"):
                yield from _parts(list(inner.values()))
            elif key not in ("default", "examples", "const", "enum", "required"):
                yield from _parts(inner)


def _inherit(step: dict[str, Any]) -> None:
    """A step's action may leave to the loop's what it shares; whether it can be complete is asked at the top."""
    examples = step["properties"]["action"]["examples"]
    about = "What each person gets: the keys of the step, on top of those of the loop's action."
    step["properties"]["action"] = {"$ref": "#/$defs/ActionPart", "description": about, "examples": examples}
    step["required"] = [key for key in step["required"] if key != "action"]
    step["if"] = {"properties": {"trigger": {"required": ["type"], "properties": {"type": {"enum": _NEEDS_CONDITION}}}}}
    step["then"] = {"required": ["condition"], "properties": {"condition": {"not": {"type": "null"}}}}


def _together() -> Iterator[dict[str, Any]]:
    """What no key can say alone."""

    def steps(**rule: Any) -> dict[str, Any]:
        return {"properties": {"steps": rule}}

    whole = {"required": ["action"], "properties": {"action": {"$ref": "#/$defs/Action"}}}
    inherits = {"required": ["action"], "properties": {"action": {"type": "object"}}}
    yield {"if": inherits, "else": steps(items=whole)}
    yield {"if": steps(minItems=2), "then": steps(items={"required": ["id"]})}
    root = {"properties": {"trigger": {"properties": {"type": {"enum": _ROOTS}}}}}
    # `items` beside `prefixItems` would mean every step to validators of older drafts, and editors have some of these.
    yield steps(prefixItems=[root], contains=root, maxContains=1)
