"""JavaScript's spelling of text and numbers."""

from __future__ import annotations

import re
from typing import Final

_SIMPLE: Final = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", "v": "\v", "0": "\0"}
_CODE: Final = re.compile(r"x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|u\{([0-9a-fA-F]{1,8})\}")
_BASES: Final = {"0x": 16, "0o": 8, "0b": 2}
_LARGEST: Final = 0x10FFFF


class BadTextError(ValueError):
    """A string or number that cannot be read; ``suggestion`` says what to write instead."""

    def __init__(self, message: str, suggestion: str) -> None:
        super().__init__(message)
        self.suggestion = suggestion


def unescape(sequence: str) -> str:
    r"""The text of one escape sequence, such as ``\n`` or ``\u{1F600}``. Raises BadTextError."""
    body = sequence[1:]
    if found := _CODE.fullmatch(body):
        code = int(found[1] or found[2] or found[3], 16)
        if code > _LARGEST:
            raise BadTextError(f"there is no character {sequence}", "write the character itself")
        return chr(code)
    if body[:1] in ("\n", "\r", "\u2028", "\u2029"):  # a line that goes on
        return ""
    if body[:1].isdigit() and body != "0":
        raise BadTextError(f"{sequence} is an old octal escape", "write the character itself")
    return _SIMPLE.get(body, body)


def number(text: str) -> int | float:
    """The value of a number literal, with or without a sign. Raises BadTextError."""
    sign = -1 if text.startswith("-") else 1
    digits = text.lstrip("+-").replace("_", "").lower()
    if len(digits) > 40 or digits.endswith("n"):
        raise BadTextError("no loop has a number like this", "quote it if it is text")
    if digits[:2] in _BASES:
        return sign * int(digits[2:], _BASES[digits[:2]])
    if digits.isdigit():
        if digits[0] == "0" and len(digits) > 1:
            raise BadTextError("a number with a leading zero is octal or not", "leave the zero out")
        return sign * int(digits)
    value = float(digits)
    if value == float("inf"):
        raise BadTextError("the number is too large", "quote it if it is text")
    return sign * value
