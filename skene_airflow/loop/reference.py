"""The reference of the loop language as one Markdown page, made from the JSON Schema."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from skene_airflow.loop.json_schema import loop_schema
from skene_airflow.loop.yaml_text import scalar

if TYPE_CHECKING:
    from collections.abc import Iterator

_HEAD: Final = """\
# The loop file: every key

Made from the models by a test; do not edit. The same for editors: [editor.md](../how-to/editor.md). What is said
about a wrong value: [codes.md](codes.md).

Times are a number and a unit: `30s`, `10m`, `36h`, `7d`, `2w`. Shares are percentages: `5%`. Times of day are
`"21:00"`. A key may be left out unless it is marked **required**; keys of a whole folder go into `_defaults.yaml`.
"""

# Definition → its heading.
_SECTIONS: Final[dict[str, str]] = {
    "": "The loop",
    "UserColumns": "`user`",
    "Connections": "`connections`",
    "Step": "A step",
    "ScheduleTrigger": "`trigger: {type: schedule}`",
    "DatabaseTrigger": "`trigger: {type: database}`",
    "AssetTrigger": "`trigger: {type: asset}`",
    "ManualTrigger": "`trigger: {type: manual}`",
    "AfterTrigger": "`trigger: {type: after}`",
    "Ready": "`ready`",
    "QueryCondition": "`condition: {type: query}`",
    "GraphqlCondition": "`condition: {type: graphql}`",
    "Segment": "One of `segments`",
    "Bands": "`segments` by age",
    "EmailAction": "`action: {type: email}`",
    "InAppAction": "`action: {type: in_app}`",
    "ActionPart": "An `action` of the loop",
    "SegmentAction": "An `action` of a segment",
    "Variant": "One of `variants`",
    "NoticeVariant": "One of `variants` in the app",
    "VariantPart": "One of `variants` of a loop or segment",
    "Utm": "`utm`",
    "Entry": "`entry`",
    "QuietHours": "`quiet_hours`",
    "Guard": "`guard`",
    "Goal": "`goal`",
    "Recovery": "`recovery`",
    "Alert": "One of `alerts`",
    "AirflowKnobs": "`airflow`",
}
_KINDS: Final = {"string": "text", "integer": "whole number", "number": "number", "boolean": "`true`, `false`"}


def reference() -> str:
    """The page: one section for each map of the language, one row for each key."""
    schema = loop_schema()
    definitions = {**schema["$defs"], "": schema}
    named = [name for name in _SECTIONS if name in definitions]
    forgotten = set(definitions) - set(named) - {"Action"}
    if forgotten:
        message = f"a section is missing for {', '.join(sorted(forgotten))}"
        raise LookupError(message)
    return "\n".join([_HEAD, *(line for name in named for line in _section(name, definitions))])


def _section(name: str, definitions: dict[str, Any]) -> Iterator[str]:
    definition = definitions[name]
    yield f"## {_SECTIONS[name]}\n"
    if name:
        yield f"{definition['description']}\n"
    yield "| key | value | absent means | meaning |"
    yield "|---|---|---|---|"
    for key, value in definition["properties"].items():
        absent = "**required**" if key in definition.get("required", ()) else _absent(name, value)
        said = value.get("description") or definitions[value["$ref"].rpartition("/")[2]]["description"]
        about = _cell(said).replace("<", "&lt;")
        yield f"| `{key}` | {_kind(value)} | {absent} | {about}{_example(value)} |"
    yield ""


def _absent(name: str, value: dict[str, Any]) -> str:
    if name == "Step" and value.get("$ref", "").endswith("ActionPart"):
        return "the loop's `action`"
    return f"`{scalar(value['default'])}`" if "default" in value else "–"


def _kind(value: dict[str, Any]) -> str:
    if "$ref" in value:
        return _link(value["$ref"])
    if "anyOf" in value or "oneOf" in value:
        kinds = [_kind(part) for part in value.get("anyOf", value.get("oneOf", [])) if part.get("type") != "null"]
        return " or ".join(dict.fromkeys(kinds))
    if "const" in value:
        return f"`{value['const']}`"
    if "enum" in value:
        return ", ".join(f"`{word}`" for word in value["enum"])
    if value.get("type") == "array":
        return f"list of {_kind(value['items'])}"
    if value.get("type") == "object":
        inner: list[dict[str, Any]] = list(value.get("patternProperties", {}).values())
        return f"map of {_kind(inner[0])}" if inner and "$ref" in inner[0] else "map"
    if "%" in value.get("pattern", ""):
        return "percentage"
    if "s|" in value.get("pattern", ""):
        return "rate" if "/" in value["pattern"] else "duration"
    kind = value.get("type", "string")
    return _KINDS[kind] if isinstance(kind, str) else "any value"


def _link(target: str) -> str:
    title = _SECTIONS[target.rpartition("/")[2]]
    anchor = "".join(sign for sign in title.lower().replace(" ", "-") if sign.isalnum() or sign in "-_")
    return f"[{title.replace('`', '')}](#{anchor})"


def _example(value: dict[str, Any]) -> str:
    examples = value.get("examples")
    if not examples:
        return ""
    return f"<br>`{_cell(_flow(examples[0]))}`"


def _flow(value: object) -> str:
    """A value as YAML on one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_flow(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_flow, value)) + "]"
    text = scalar(value) if isinstance(value, str | int | float | bool | None) else str(value)
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) and set(text) & set(",[]{}") else text


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
