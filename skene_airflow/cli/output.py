"""How faults and tables are printed: for a person, for a program, for GitHub."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from skene_airflow.nouns import Fault

_RED, _YELLOW, _GREEN, _BOLD, _DIM, _OFF = "\x1b[31m", "\x1b[33m", "\x1b[32m", "\x1b[1m", "\x1b[2m", "\x1b[0m"
_KEYS = ("file", "line", "column", "path", "code", "message", "suggestion")


def is_coloured() -> bool:
    """Whether a person looks at a terminal that wants colours (https://no-color.org)."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def as_text(fault: Fault) -> str:
    """One line, coloured on a terminal."""
    if not is_coloured():
        return f"{fault}" if fault.severity == "error" else str(fault).replace(": ", f": {fault.severity}: ", 1)
    colour = _RED if fault.severity == "error" else _YELLOW
    where = f"{_BOLD}{fault.file}:{fault.line}:{fault.column}:{_OFF} "
    path = f"{fault.path}: " if fault.path else ""
    hint = f"; {fault.suggestion}" if fault.suggestion else ""
    return f"{where}{path}{colour}{fault.message}{_OFF}{hint} {_DIM}[{fault.code}]{_OFF}"


def as_github(fault: Fault) -> str:
    """One annotation of a GitHub workflow."""
    properties = {"file": fault.file, "line": fault.line, "col": fault.column, "title": fault.code}
    text = ",".join(f"{name}={_escaped(str(value), ':,')}" for name, value in properties.items())
    path = f"{fault.path}: " if fault.path else ""
    hint = f"; {fault.suggestion}" if fault.suggestion else ""
    return f"::{fault.severity} {text}::{_escaped(f'{path}{fault.message}{hint}')}"


def as_record(fault: Fault) -> dict[str, Any]:
    """A fault for a program."""
    return {key: getattr(fault, key) for key in _KEYS}


def as_json(value: object) -> str:
    """JSON for a program, readable by a person too."""
    return json.dumps(value, indent=2, ensure_ascii=False)


def bold(words: str) -> str:
    """Words that stand out on a terminal."""
    return f"{_BOLD}{words}{_OFF}" if is_coloured() else words


def mark(good: bool | None) -> str:
    """✓, ✗ or – (nothing to say), coloured on a terminal."""
    sign, colour = {True: ("✓", _GREEN), False: ("✗", _RED), None: ("–", _YELLOW)}[good]
    return f"{colour}{sign}{_OFF}" if is_coloured() else sign


def table(rows: Sequence[Mapping[str, object]]) -> str:
    """Rows in aligned columns below their names, – for None; empty for no rows."""
    if not rows:
        return ""
    names = list(rows[0])
    cells = [names, *(["–" if row[name] is None else str(row[name]) for name in names] for row in rows)]
    widths = [max(len(line[index]) for line in cells) for index in range(len(names))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in cells]
    return "\n".join(lines)


def count(number: int, noun: str) -> str:
    """``1 loop``, ``2 loops``, ``2 deliveries``."""
    many = f"{noun[:-1]}ies" if noun.endswith("ry") else f"{noun}s"
    return f"{number:,} {noun if number == 1 else many}"


def _escaped(text: str, more: str = "") -> str:
    for character in f"%\r\n{more}":
        text = text.replace(character, f"%{ord(character):02X}")
    return text
