"""What to write instead of a value of another kind: the same thought, in the shape that belongs there."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from skene_airflow.loop.model import TAG
from skene_airflow.loop.triggers import PRESETS, cron_trouble
from skene_airflow.loop.words import keys_at, types_at

if TYPE_CHECKING:
    from skene_airflow.loop.nodes import Loc

_LONGEST: Final = 40
_NUMBER: Final = re.compile(r"[-+]?[0-9]{1,9}")
_RANGE: Final = re.compile(r"\s*([0-9]{2}:[0-9]{2})\s*(?:-|–|to)\s*([0-9]{2}:[0-9]{2})\s*")
# The key → how its value looks, with the scalar that somebody wrote in its place.
_MAPS: Final = {
    "user": "{{table: {}}}",
    "connections": "{{source: {}}}",
    "goal": "{{query: SELECT …, within: 14d}}",
    "alerts": "{{email: {}}}",
    "guard": "{{max: {}}}",
    "recovery": "{{retries: {}}}",
    "ready": "{{query: SELECT …, timeout: 30m}}",
}
# The key → what a text there looks like.
_FORMS: Final = {
    "cron": 'write five fields in quotes, such as "0 9 * * *"; several times are lists within them: "0 9,17 * * *"',
    "timezone": "write the zone of a place, such as Europe/Helsinki, or user",
    "query": "write one SELECT below `query: |`",
}


def instead(wanted: str, value: object, loc: Loc) -> str:
    """What to write where ``wanted`` is expected and ``value`` stands."""
    key = next((str(part) for part in reversed(loc) if isinstance(part, str)), "")
    if wanted == "text":
        return _text(value, key)
    if wanted == "a list":
        return _list(value, key)
    if wanted == "a map of keys":
        return _map(value, key, loc)
    if wanted == "a whole number" and isinstance(value, str) and _NUMBER.fullmatch(value):
        return f"leave the quotes out: {value}"
    if isinstance(value, str) and value.lower() in ("yes", "no", "on", "off", "true", "false"):
        return "write true or false, without quotes"
    return f"write {wanted}"


def a_type(value: object, loc: Loc) -> str:
    """What to write where a map lacks its ``type``; its other keys may tell."""
    types = types_at(tuple(part for part in loc if not (isinstance(part, str) and part.startswith(TAG))))
    written = set(value) - {"type"} if isinstance(value, dict) else set()
    glued = next((key for key in written if key.startswith("type:")), None)
    if glued:
        return f"write a space behind the ':', as in `{glued.replace(':', ': ', 1)}`"
    fitting = [name for name, keys in types.items() if written and written <= keys]
    if fitting:
        return f"write `type: {fitting[0]}`" + "".join(f" (or {name})" for name in fitting[1:])
    return f"write `type: …`, one of {', '.join(types)}" if types else "write it; it says what the other keys mean"


def _text(value: object, key: str) -> str:
    if key in _FORMS and not isinstance(value, str):
        return _FORMS[key]
    if value is None:
        return "write it"
    return "write one text" if isinstance(value, tuple | dict) else "quote it"


def _list(value: object, key: str) -> str:
    if isinstance(value, str) and value.strip() and key != "steps" and len(value) <= _LONGEST and "\n" not in value:
        items = f"{{email: {value}}}" if key == "alerts" else value
        return f"write a list: [{items}]"
    if key == "steps" or isinstance(value, dict):
        return "write a list: each item begins with '- '"
    return "write a list"


def _map(value: object, key: str, loc: Loc) -> str:
    if isinstance(value, tuple) and key != "steps":
        return "write one map, not a list: leave out the '- ', or the [ ]"
    if value is None:
        return "write its keys below it, indented by two more spaces, or leave it out"
    short = _short(value, key) if isinstance(value, str | int) and not isinstance(value, bool) else ""
    if short:
        return f"write {short}"
    if key == "condition":
        return "write a SELECT, or a map with a type"
    keys = sorted(keys_at(loc))
    return f"write a map of {', '.join(keys)}" if keys else "write a map: `key: value` in each line"


def _short(value: str | int, key: str) -> str:
    text = str(value)
    if len(text) > _LONGEST:
        return ""
    if key == "trigger":
        preset = text if text in PRESETS else f"@{text}" if f"@{text}" in PRESETS else ""
        if preset or not cron_trouble(text):
            return f'{{type: schedule, cron: "{preset or text}"}}'
        return "{type: manual}" if text == "manual" else '{type: schedule, cron: "0 9 * * *"}'
    if key == "action":
        return "{type: email, template: …}"
    if key == "quiet_hours":
        found = _RANGE.fullmatch(text)
        return f'{{from: "{found[1]}", to: "{found[2]}"}}' if found else '{from: "21:00", to: "08:00"}'
    return _MAPS[key].format(text) if key in _MAPS else ""
