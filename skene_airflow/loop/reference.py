"""The reference of the loop language as one Markdown page, made from the JSON Schema."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from skene_airflow.loop.json_schema import loop_schema
from skene_airflow.loop.source import parse
from skene_airflow.loop.unsupported import unsupported
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

# Definition → its heading, and where its keys stand in a loop: `_` is the map of the table.
_SECTIONS: Final[dict[str, tuple[str, str]]] = {
    "": ("The loop", "_"),
    "UserColumns": ("`user`", '{"user": _}'),
    "Connections": ("`connections`", '{"connections": _}'),
    "Step": ("A step", '{"steps": [_]}'),
    "ScheduleTrigger": ("`trigger: {type: schedule}`", '{"steps": [{"trigger": _}]}'),
    "DatabaseTrigger": ("`trigger: {type: database}`", '{"steps": [{"trigger": _}]}'),
    "AssetTrigger": ("`trigger: {type: asset}`", '{"steps": [{"trigger": _}]}'),
    "ManualTrigger": ("`trigger: {type: manual}`", '{"steps": [{"trigger": _}]}'),
    "AfterTrigger": ("`trigger: {type: after}`", '{"steps": [{"trigger": _}]}'),
    "Ready": ("`ready`", '{"steps": [{"ready": _}]}'),
    "QueryCondition": ("`condition: {type: query}`", '{"steps": [{"condition": _}]}'),
    "GraphqlCondition": ("`condition: {type: graphql}`", '{"steps": [{"condition": _}]}'),
    "Segment": ("One of `segments`", '{"steps": [{"segments": [_]}]}'),
    "Bands": ("`segments` by age", '{"steps": [{"segments": _}]}'),
    "EmailAction": ("`action: {type: email}`", '{"steps": [{"action": _}]}'),
    "InAppAction": ("`action: {type: in_app}`", '{"steps": [{"action": _}]}'),
    "ActionPart": ("An `action` of the loop", '{"action": _}'),
    "SegmentAction": ("An `action` of a segment", '{"steps": [{"segments": [{"action": _}]}]}'),
    "Variant": ("One of `variants`", '{"steps": [{"action": {"variants": {"plain": _}}}]}'),
    "NoticeVariant": (
        "One of `variants` in the app",
        '{"steps": [{"action": {"type": "in_app", "variants": {"plain": _}}}]}',
    ),
    "VariantPart": ("One of `variants` of a loop or segment", '{"action": {"variants": {"plain": _}}}'),
    "Utm": ("`utm`", '{"steps": [{"action": {"utm": _}}]}'),
    "Entry": ("`entry`", '{"entry": _}'),
    "QuietHours": ("`quiet_hours`", '{"quiet_hours": _}'),
    "Guard": ("`guard`", '{"guard": _}'),
    "Goal": ("`goal`", '{"goal": _}'),
    "Recovery": ("`recovery`", '{"recovery": _}'),
    "Alert": ("One of `alerts`", '{"alerts": [_]}'),
    "AirflowKnobs": ("`airflow`", '{"airflow": _}'),
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
    title, where = _SECTIONS[name]
    yield f"## {title}\n"
    if name:
        yield f"{definition['description']}\n"
    yield "| key | value | absent means | meaning |"
    yield "|---|---|---|---|"
    for key, value in definition["properties"].items():
        absent = "**required**" if key in definition.get("required", ()) else _absent(name, value)
        said = value.get("description") or definitions[value["$ref"].rpartition("/")[2]]["description"]
        about = _cell(said).replace("<", "&lt;") + (" *Not supported yet.*" if _is_later(where, key, value) else "")
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
    title = _SECTIONS[target.rpartition("/")[2]][0]
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


def _is_later(where: str, key: str, value: dict[str, Any]) -> bool:
    """Whether a loop that uses this key is refused for it as not supported yet; a part of its example may be."""
    example = value.get("const", (value.get("examples") or [value.get("default")])[0])
    text = where.replace("_", json.dumps({key: example}))
    root = parse(text.encode(), "").root
    return root is not None and any(key not in fault.path.split(".")[:-1] for fault in unsupported(root))
