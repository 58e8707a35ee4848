"""Pydantic's complaints about a file, as faults that say what to write instead."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from skene_airflow.loop import codes
from skene_airflow.loop.fields import shown
from skene_airflow.loop.model import TAG
from skene_airflow.loop.nodes import Loc, Node, path_text
from skene_airflow.loop.words import advise, closest, description, keys_at, renamed
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
# Skene's own published shapes that gate a request while it is served.
_REFUSED: Final = {
    "api": "a loop is run by the clock or by data, never inside a request of your application; "
    "write type: schedule, database, asset or manual",
    "usage": "usage limits are enforced by your application; write who passed the limit as a query",
    "block": "blocking a request is your application's work; write type: email to tell the person",
}
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
    """One fault for each of pydantic's errors; of a file that is something else altogether, the first 200."""
    meant = {_meant(error) for error in errors[:MAX_FAULTS] if error["type"] == "extra_forbidden"}
    # A key under another name is one mistake, not an unknown key and a missing one.
    told = [error for error in errors[:MAX_FAULTS] if error["type"] != "missing" or error["loc"] not in meant]
    faults = [_fault(error, root) for error in told]
    if len(errors) > MAX_FAULTS:
        what = f"there are {len(errors) - MAX_FAULTS:,} more faults"
        faults.append(node_fault(root, (), codes.VALUE, what, "mend the others first"))
    return faults


def _meant(error: Mapping[str, Any]) -> Loc:
    loc: Loc = error["loc"]
    return (*loc[:-1], renamed(str(loc[-1]), keys_at(loc[:-1])) or "")


def _fault(error: Mapping[str, Any], root: Node) -> Fault:
    tagged: Loc = error["loc"]
    loc = tuple(part for part in tagged if not (isinstance(part, str) and (part.startswith(TAG) or part == "[key]")))
    kind: str = error["type"]
    if kind == "extra_forbidden":
        return key_fault(root, loc, codes.UNKNOWN_KEY, "unknown key", advise(str(loc[-1]), keys_at(tagged[:-1])))
    if kind == "missing":
        about = description(tagged)
        return node_fault(root, loc, codes.MISSING_KEY, "the key is missing", f"write it: {about}" if about else "")
    if kind == "union_tag_invalid":
        return node_fault(root, (*loc, "type"), *_unknown_type(error))
    if "[key]" in tagged:
        return key_fault(root, loc, *_words(kind, error))
    shown_loc = loc if root.get(*loc) is not None else root.nearest(loc)[1]
    return node_fault(root, shown_loc, *_words(kind, error))


def _unknown_type(error: Mapping[str, Any]) -> _Words:
    word = str(error["ctx"]["tag"]).removeprefix(TAG)
    if word in _REFUSED:
        return codes.REFUSED_SHAPE, f"type '{word}' is refused", _REFUSED[word]
    known = [tag.strip("' ").removeprefix(TAG) for tag in str(error["ctx"]["expected_tags"]).split(",")]
    return codes.UNKNOWN_WORD, f"unknown type {shown(word)}", closest(word, known)


def _words(kind: str, error: Mapping[str, Any]) -> _Words:
    context, value = error.get("ctx", {}), error.get("input")
    if kind.startswith("SK"):
        return kind, context["message"], context["suggestion"]
    if kind in _KINDS:
        return _wrong_type(_KINDS[kind], value)
    if kind in _BOUNDS:
        name, words = _BOUNDS[kind]
        return codes.RANGE, f"{shown(value)} is out of range", f"write {words} {context[name]:g}"
    handler = _HANDLERS.get(kind)
    return handler(context, value) if handler else (codes.VALUE, str(error["msg"]), "")


def _wrong_type(wanted: str, value: object) -> _Words:
    found = "nothing" if value is None else "a list" if isinstance(value, tuple) else "a map"
    if isinstance(value, bool):
        found = "true or false"
    elif isinstance(value, int | float):
        found = "a number"
    elif isinstance(value, str):
        found = f"the text {shown(value)}"
    quote = wanted == "text" and value is not None and not isinstance(value, tuple | dict)
    return codes.WRONG_TYPE, f"{wanted} is expected, not {found}", "quote it" if quote else f"write {wanted}"


def _literal(context: Mapping[str, Any], value: object) -> _Words:
    known = [word.strip(" '") for word in str(context["expected"]).replace(" or ", ", ").split(",")]
    return codes.UNKNOWN_WORD, f"{shown(value)} is not known here", closest(value, known)


def _no_type(_: Mapping[str, Any], value: object) -> _Words:
    if isinstance(value, dict):
        return codes.MISSING_KEY, "the key 'type' is missing", "write it; it says what the other keys mean"
    return _wrong_type("a map of keys", value)


def _too_short(_: Mapping[str, Any], __: object) -> _Words:
    return codes.BLANK, "nothing is written here", "write at least one, or leave the key out"


def _too_long(context: Mapping[str, Any], _: object) -> _Words:
    return codes.RANGE, "the text is too long", f"write at most {context['max_length']} characters"


_HANDLERS: Final[dict[str, Callable[[Mapping[str, Any], object], _Words]]] = {
    "literal_error": _literal,
    "union_tag_not_found": _no_type,
    "too_short": _too_short,
    "string_too_short": _too_short,
    "string_too_long": _too_long,
    "finite_number": lambda _, value: (codes.VALUE, f"{shown(value)} is not a number to count with", "write a number"),
}
