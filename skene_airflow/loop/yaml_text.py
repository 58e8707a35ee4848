"""Values → YAML as people write it: block style, few quotes, long text as block scalars, comments in their places."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import yaml

from skene_airflow.loop.scalars import NumberTooLongError, resolve

if TYPE_CHECKING:
    from collections.abc import Iterator

    from skene_airflow.loop.nodes import Scalar

# Nothing that a person, or a YAML 1.1 tool, could read as something else than this text.
_PLAIN: Final = re.compile(r"[A-Za-z_][^\n\r\t]*|[\w./][\w.%/]*")
_RISKY: Final = re.compile(r":(?:\s|$)|\s#|\{\{|\{%|^\s|\s$|^---|^\.\.\.|^_?[\[\]{}]")
_UNPRINTABLE: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")
_TEXT_TAG: Final = "tag:yaml.org,2002:str"
_RESOLVER: Final[Any] = yaml.resolver.Resolver()

Value: TypeAlias = "Scalar | dict[str, Out] | list[Out]"


@dataclass(slots=True)
class Out:
    """A value to write: comment lines above it and beside it; ``tail``: comment lines behind its last item."""

    value: Value
    above: list[str] = field(default_factory=list)
    beside: str = ""
    tail: list[str] = field(default_factory=list)


def dump(root: Out) -> str:
    """The YAML document of a map, with its comments."""
    lines = [*_comments(root.above, 0), *(_inside(root, 0) if root.value else ["{}"])]
    return "\n".join(lines) + "\n"


def scalar(value: Scalar) -> str:
    """A scalar on one line, quoted where it has to be."""
    if isinstance(value, str):
        return value if _is_plain(value) else _quoted(value)
    if value is None:
        return "null"
    return json.dumps(value)


def _inside(out: Out, indent: int) -> Iterator[str]:
    if isinstance(out.value, dict):
        for key, item in out.value.items():
            yield from _comments(item.above, indent)
            yield from _entry(f"{' ' * indent}{scalar(key)}:", item, indent)
    elif isinstance(out.value, list):
        for item in out.value:
            yield from _comments(item.above, indent)
            yield from _item(item, indent)
    yield from _comments(out.tail, indent)


def _entry(head: str, item: Out, indent: int) -> Iterator[str]:
    if isinstance(item.value, dict | list):
        if item.value:
            yield _beside(head, item)
            yield from _inside(item, indent + 2)
        else:
            yield _beside(f"{head} {'{}' if isinstance(item.value, dict) else '[]'}", item)
            yield from _comments(item.tail, indent + 2)
    elif isinstance(item.value, str) and _is_block(item.value):
        yield from _block(head, item, indent + 2)
    else:
        yield _beside(f"{head} {scalar(item.value)}", item)


def _item(item: Out, indent: int) -> Iterator[str]:
    if not isinstance(item.value, dict | list) or not item.value:
        yield from _entry(f"{' ' * indent}-", item, indent)
        return
    if item.beside:
        yield from _comments([item.beside], indent)
    lines = list(_inside(item, indent + 2))
    # The dash takes the place of the first key's indentation, behind the comments above that key.
    first = next(index for index, line in enumerate(lines) if not line.lstrip().startswith("#"))
    yield from (line[2:] for line in lines[:first])
    yield f"{' ' * indent}- {lines[first][indent + 2 :]}"
    yield from lines[first + 1 :]


def _beside(text: str, item: Out) -> str:
    return f"{text}  # {item.beside}" if item.beside else text


def _comments(lines: list[str], indent: int) -> Iterator[str]:
    for line in lines:
        yield f"{' ' * indent}# {line}".rstrip()


def _is_block(text: str) -> bool:
    body = text.rstrip("\n")
    return "\n" in body and not _UNPRINTABLE.search(text) and text[0] not in " \n\t" and "\r" not in text


def _block(head: str, item: Out, indent: int) -> Iterator[str]:
    text = str(item.value)
    ends = len(text) - len(text.rstrip("\n"))
    yield _beside(f"{head} |{'-' if not ends else '+' if ends > 1 else ''}", item)
    for line in text.removesuffix("\n").split("\n"):
        yield f"{' ' * indent}{line}" if line else ""


def _is_plain(text: str) -> bool:
    if not _PLAIN.fullmatch(text) or _RISKY.search(text) or _UNPRINTABLE.search(text) or text[-1] == ":":
        return False
    try:
        core = resolve(text)
    except NumberTooLongError:
        return False
    return core == text and _RESOLVER.resolve(yaml.ScalarNode, text, (True, False)) == _TEXT_TAG


def _quoted(text: str) -> str:
    if '"' in text and "'" not in text and "\\" not in text and text.isprintable():
        return f"'{text}'"
    return _UNPRINTABLE.sub(lambda found: f"\\u{ord(found.group()):04x}", json.dumps(text, ensure_ascii=False))
