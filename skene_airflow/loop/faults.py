"""Pydantic's complaints about a file, as faults that say what to write instead."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from skene_airflow.loop import codes
from skene_airflow.loop.fields import shown
from skene_airflow.loop.model import TAG
from skene_airflow.loop.nodes import Loc, Node, path_text
from skene_airflow.loop.shapes import a_type, instead
from skene_airflow.loop.words import advise, closest, description, keys_at, renamed, types_at
from skene_airflow.nouns import Fault

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

MAX_FAULTS: Final = 200

_Words = tuple[str, str, str]  # code, message, suggestion
_KINDS: Final = {
    "string_type": "text",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "tuple_type": "a list",
    "dict_type": "a map of keys",
    "model_type": "a map of keys",
    "model_attributes_type": "a map of keys",
}
# Maps whose keys people choose.
_FREE: Final = frozenset(("personalization", "variables", "variants", "bands"))
# Skene's own published shapes that gate a request while it is served.
_REFUSED: Final = {
    "api": "a loop is run by the clock or by data, never inside a request of your application; "
    "write type: schedule, database, asset or manual",
    "usage": "usage limits are enforced by your application; write who passed the limit as a query",
    "block": "blocking a request is your application's work; write type: email to tell the person",
}
# Quotes that a word processor makes.
_CURLY: Final = re.compile("([\u201c\u201d\u201e\u2018\u2019\u00ab\u00bb]).*", re.DOTALL)
_BOUNDS: Final = {
    "greater_than_equal": ("ge", "at least"),
    "less_than_equal": ("le", "at most"),
    "greater_than": ("gt", "more than"),
    "less_than": ("lt", "less than"),
}


def node_fault(root: Node, loc: Loc, code: str, message: str, suggestion: str = "") -> Fault:
    """A fault at the value of ``loc``, or at the nearest value that is there."""
    node, _ = root.nearest(loc)
    return Fault(node.source.file, node.line, node.column, path_text(loc), code, message, suggestion)


def key_fault(root: Node, loc: Loc, code: str, message: str, suggestion: str = "") -> Fault:
    """A fault at the key of ``loc``."""
    entry = root.key(*loc) if loc else None
    if entry is None:
        return node_fault(root, loc, code, message, suggestion)
    return Fault(entry.source.file, entry.line, entry.column, path_text(loc), code, message, suggestion)


def translate(errors: Sequence[Mapping[str, Any]], root: Node) -> list[Fault]:
    """One fault for each mistake behind pydantic's errors; of a file that is something else, the first 200."""
    told = errors[:MAX_FAULTS]
    unknown: list[Loc] = [error["loc"] for error in told if error["type"] == "extra_forbidden"]
    flat = {loc: above for loc in unknown if (above := _not_indented(loc, unknown, root))}
    # A key under another name, or in another map, is one mistake: not an unknown key and a missing one.
    meant = {_meant(loc) for loc in unknown}
    strayed = {str(loc[-1]) for loc in unknown}
    faults = [_flat(above, [loc for loc in flat if flat[loc] == above], root) for above in dict.fromkeys(flat.values())]
    for error in told:
        loc: Loc = error["loc"]
        missing = error["type"] == "missing" and (loc in meant or str(loc[-1]) in strayed)
        if not missing and loc not in flat and _untagged(loc) not in flat.values():
            faults.append(_fault(error, root))
    if len(errors) > MAX_FAULTS:
        what = f"there are {len(errors) - MAX_FAULTS:,} more faults"
        faults.append(node_fault(root, (), codes.VALUE, what, "mend the others first"))
    return faults


def _meant(loc: Loc) -> Loc:
    return (*loc[:-1], renamed(str(loc[-1]), keys_at(loc[:-1])) or "")


def _untagged(loc: Loc) -> Loc:
    return tuple(part for part in loc if not (isinstance(part, str) and (part.startswith(TAG) or part == "[key]")))


def _not_indented(loc: Loc, unknown: list[Loc], root: Node) -> Loc | None:
    """The key above an unknown one that has no value, and would have it if this line were indented deeper."""
    plain = _untagged(loc)
    above = root.get(*plain[:-1])
    if above is None or not isinstance(above.value, dict):
        return None
    strangers = {other[-1] for other in unknown if other[:-1] == loc[:-1]}
    keys = list(above.value)
    for key in reversed(keys[: keys.index(str(plain[-1]))]):
        node = above.value[key].node
        if node.value is None and not node.style:
            inner = keys_at((*loc[:-1], key))
            return (*plain[:-1], key) if plain[-1] in inner or key in _FREE else None
        if key not in strangers:
            return None
    return None


def _flat(above: Loc, below: list[Loc], root: Node) -> Fault:
    keys = " and ".join(f"'{loc[-1]}'" for loc in below[:3])
    what = f"nothing stands below '{above[-1]}'"
    return key_fault(root, above, codes.WRONG_TYPE, what, f"indent {keys} by two more spaces")


def _fault(error: Mapping[str, Any], root: Node) -> Fault:
    tagged: Loc = error["loc"]
    loc = _untagged(tagged)
    kind: str = error["type"]
    if kind == "extra_forbidden":
        return key_fault(root, loc, codes.UNKNOWN_KEY, "unknown key", _unquoted(root, loc) or advise(tagged))
    if kind == "missing":
        about = description(tagged)
        return node_fault(root, loc, codes.MISSING_KEY, "the key is missing", f"write it: {about}" if about else "")
    if kind == "union_tag_invalid":
        return node_fault(root, (*loc, "type"), *_unknown_type(error))
    if "[key]" in tagged:
        return key_fault(root, loc, *_words(kind, error))
    node = root.get(*loc)
    shown_loc = loc if node is not None else root.nearest(loc)[1]
    code, message, suggestion = _words(kind, error)
    if node is not None and node.value is None and node.cut:
        suggestion = "quote the value: an unquoted '#' begins a comment"
    elif node is not None and not node.style and (curly := _CURLY.fullmatch(str(node.value))):
        suggestion = f"'{curly[1]}' is a letter to YAML; write plain quotes"
    elif loc == ("steps",) and code == codes.BLANK:
        suggestion = "write a step: `- trigger: …`, and below it condition and action"
    return node_fault(root, shown_loc, code, message, suggestion)


def _unquoted(root: Node, loc: Loc) -> str:
    """A hint for a word that became a key because YAML ended the value before it at a comma."""
    entry = root.key(*loc)
    if entry is None or entry.node.value is not None:
        return ""
    before = entry.source.text.split("\n")[entry.line - 1][: entry.column - 1].rstrip()
    key = str(loc[-1])
    if re.match(r"\w+:\S", key):
        return f"write a space behind the ':', as in `{key.replace(':', ': ', 1)}`"
    return "quote the value before it: within { } a ',' ends an unquoted one" if before.endswith(",") else ""


def _unknown_type(error: Mapping[str, Any]) -> _Words:
    word = str(error["ctx"]["tag"]).removeprefix(TAG)
    if word in _REFUSED:
        return codes.REFUSED_SHAPE, f"type '{word}' is refused", _REFUSED[word]
    return codes.UNKNOWN_WORD, f"unknown type {shown(word)}", closest(word, types_at(_untagged(error["loc"])))


def _words(kind: str, error: Mapping[str, Any]) -> _Words:
    context, value = error.get("ctx", {}), error.get("input")
    if kind.startswith("SK"):
        return kind, context["message"], context["suggestion"]
    if kind in _KINDS:
        return _wrong_type(_KINDS[kind], value, error["loc"])
    if kind in _BOUNDS:
        name, words = _BOUNDS[kind]
        return codes.RANGE, f"{shown(value)} is out of range", f"write {words} {context[name]:g}"
    if kind == "union_tag_not_found":
        return _no_type(value, error["loc"])
    handler = _HANDLERS.get(kind)
    return handler(context, value) if handler else (codes.VALUE, str(error["msg"]), "")


def _wrong_type(wanted: str, value: object, loc: Loc) -> _Words:
    found = shown(value)
    if isinstance(value, bool):
        found = "true or false"
    elif isinstance(value, int | float):
        found = f"the number {value}"
    elif isinstance(value, str):
        found = f"the text {found}"
    return codes.WRONG_TYPE, f"{wanted} is expected, not {found}", instead(wanted, value, loc)


def _literal(context: Mapping[str, Any], value: object) -> _Words:
    known = [word.strip(" '") for word in str(context["expected"]).replace(" or ", ", ").split(",")]
    return codes.UNKNOWN_WORD, f"{shown(value)} is not known here", closest(value, known)


def _no_type(value: object, loc: Loc) -> _Words:
    if isinstance(value, dict):
        return codes.MISSING_KEY, "the key 'type' is missing", a_type(value, loc)
    return _wrong_type("a map of keys", value, loc)


def _too_short(_: Mapping[str, Any], __: object) -> _Words:
    return codes.BLANK, "nothing is written here", "write at least one, or leave the key out"


def _too_long(context: Mapping[str, Any], _: object) -> _Words:
    return codes.RANGE, "the text is too long", f"write at most {context['max_length']} characters"


_HANDLERS: Final[dict[str, Callable[[Mapping[str, Any], object], _Words]]] = {
    "literal_error": _literal,
    "too_short": _too_short,
    "string_too_short": _too_short,
    "string_too_long": _too_long,
    "too_long": _too_long,
    "finite_number": lambda _, value: (codes.VALUE, f"{shown(value)} is not a number to count with", "write a number"),
}
