"""Where a character of a text value stands in its file, past quotes, escapes, and lines that YAML joins."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

_LONG_ESCAPES: Final = {"x": 4, "u": 6, "U": 10}


def place_in(lines: Sequence[str], start: int, style: str, value: str, offset: int) -> tuple[int, int]:
    """Row and index, from 0, of ``value[offset]`` within the lines it was read from; ``start``: where it begins.

    ``style`` is YAML's. Where lines and value part, the last place that they shared.
    """
    at, row, index = 0, 0, start
    for row, line in enumerate(lines):
        index = start + len(style) if not row and style != ">" else len(line) - len(line.lstrip())
        if not row and style == ">":
            index = start
            continue
        while at < offset and index < len(line):
            width = _width(line, index, style)
            if line[index] != value[at] and width == 1:
                break
            index, at = index + width, at + 1
        if at >= offset:
            break
        joined = len(value) - len(value[at:].lstrip(" \n"))
        if joined > offset or row == len(lines) - 1:
            break
        at = joined
    return row, index


def _width(line: str, index: int, style: str) -> int:
    """How many characters of the file make this one of the value."""
    if style == "'" and line[index : index + 2] == "''":
        return 2
    if style == '"' and line[index] == "\\":
        return _LONG_ESCAPES.get(line[index + 1 : index + 2], 2)
    return 1
