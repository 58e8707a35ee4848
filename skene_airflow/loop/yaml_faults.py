"""Faults of text that is not YAML, in words that say what to write instead."""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING, Final

from skene_airflow.loop import codes
from skene_airflow.nouns import Fault

if TYPE_CHECKING:
    import yaml

    from skene_airflow.loop.nodes import Source

# What looks like a space or a colon, and is none for YAML.
_LOOK_ALIKE: Final = re.compile("(?:(?<=^)|(?<=^ )|(?<=:)|(?<=  ))[\u00a0\u2002-\u200a\u202f\u3000]|(?<=\\w)\uff1a")
_CONFLICT: Final = re.compile(r"^(?:<{7} |>{7} )", re.MULTILINE)
_TYPESCRIPT: Final = re.compile(r"^(?:export default|module\.exports|import .* from|const \w+ =)", re.MULTILINE)
_SQL_COMMENT: Final = re.compile(r"""^[^'"]*\b(select|from|where|and|or|join)\b.*\S #""", re.IGNORECASE)


class Stop(Exception):
    """Reading this file ends here."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(str(fault))
        self.fault = fault


def stop(source: Source, line: int, column: int, code: str, message: str, suggestion: str) -> Stop:
    """A fault that ends the reading of its file."""
    return Stop(Fault(source.file, line, column, "", code, message, suggestion))


def syntax_stop(error: yaml.YAMLError, source: Source) -> Stop:
    """The scanner's complaint in our words, at its place."""
    problem = str(getattr(error, "problem", None) or getattr(error, "reason", None) or "this is not YAML")
    mark = getattr(error, "problem_mark", None)
    if mark is None or "end of stream" in problem or "expected ',' or" in problem or "expected ':'" in problem:
        mark = getattr(error, "context_mark", None) or mark  # where the quote, bracket or key begins
    line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
    if "nesting" in problem:  # brackets upon brackets, which the scanner itself stops at
        return stop(source, line, column, codes.TOO_DEEP, "nested far too deep", "no key of a loop is that deep")
    lines = source.text.split("\n")
    here = lines[line - 1] if line <= len(lines) else ""
    for found in (_left_over(source), _indentation(line, lines), _cut(line, lines)):
        if found is not None:
            number, at, code, what, hint = found
            return stop(source, number, at, code, what, hint)
    # libyaml points behind a sign that cannot begin a value.
    if ("alphabetic or numeric" in problem or "comment or line break" in problem) and column > 1:
        column = _sign(here, column)
    what, hint = _words(problem, here, column)
    return stop(source, line, column, codes.SYNTAX, what, hint)


_Found = tuple[int, int, str, str, str]  # line, column, code, message, suggestion


def _left_over(source: Source) -> _Found | None:
    """Files that are no YAML, and were not meant to be."""
    if found := _CONFLICT.search(source.text):
        line = source.text.count("\n", 0, found.start()) + 1
        return line, 1, codes.SYNTAX, "a merge conflict is left in the file", "keep one side, delete the three marks"
    if found := _TYPESCRIPT.search(source.text):
        line = source.text.count("\n", 0, found.start()) + 1
        what = "this is TypeScript or JavaScript, not YAML"
        return line, 1, codes.SYNTAX, what, "`skene-airflow convert FILE` writes the YAML of a skene.config.ts"
    return None


def _indentation(line: int, lines: list[str]) -> _Found | None:
    for number in (line, line - 1):
        here = lines[number - 1] if 0 < number <= len(lines) else ""
        indent = here[: len(here) - len(here.lstrip())]
        if "\t" in indent and number == line:
            return line, indent.index("\t") + 1, codes.TAB, "a tab stands in the indentation", "indent with spaces"
        if found := _LOOK_ALIKE.search(here):
            what = (
                f"the {unicodedata.name(found.group()).lower()} (U+{ord(found.group()):04X}) is not what it looks like"
            )
            hint = "write a plain ':'" if found.group() == "\uff1a" else "write a plain space"
            return number, found.start() + 1, codes.CONTROL, what, hint
    return None


def _cut(line: int, lines: list[str]) -> _Found | None:
    for number in (line, line - 1):
        if 0 < number <= len(lines) and _SQL_COMMENT.search(lines[number - 1]):
            column = lines[number - 1].index(" #") + 2
            what = "YAML ends the SQL here, at ' #', and takes the rest for a comment"
            return number, column, codes.CUT_SQL, what, "write the SQL below `query: |`"
    return None


def _sign(line: str, column: int) -> int:
    at = max((line.rfind(sign, 0, column) for sign in "*&>|"), default=-1)
    return at + 1 if at >= 0 else column


def _words(problem: str, line: str, column: int) -> tuple[str, str]:
    before, here = line[: column - 1].rstrip(), line[column - 1 : column]
    for part, what, hint in _PROBLEMS:
        if part in problem:
            return what.format(here), hint
    if "expected key" in problem or "expected ':'" in problem or "expected '-'" in problem:
        if before[-1:] in ("'", '"', "]", "}"):
            return f"text stands behind the closing {before[-1]}", "quote the whole value, or write it below `|`"
        if glued := re.match(r"\s*(?:- )?(\w+):(\S.*)", line):
            return "a space is missing behind the ':'", f"write `{glued[1]}: {glued[2][:40]}`"
        return "this line is neither a key nor a part of the value above", _INDENT
    return problem, "quote the value" if "{{" in line else "mend this line"


_INDENT: Final = "mend its indentation, or quote the whole value"
_PROBLEMS: Final = (
    (
        "mapping values are not allowed",
        "a ': ' that YAML does not expect here",
        "quote the value, or mend the indentation of this line",
    ),
    ("cannot start any token", "no unquoted value can begin with '{}'", "quote the value"),
    ("alphabetic or numeric", "no unquoted value can begin with '{}'", "quote the value"),
    ("comment or line break", "no unquoted value can begin with '{}'", "quote the value"),
    ("mapping keys are not allowed", "no unquoted value can begin with '{}'", "quote the value"),
    (
        "block sequence entries",
        "a list cannot begin beside its key",
        "quote the value, or begin the list below the key",
    ),
    ("unknown escape", "a backslash means something else in double quotes", "use single quotes, or write it below `|`"),
    ("expected ',' or", "this is not closed, or a ',' is missing in it", "close it, or quote the value"),
    ("unexpected end of stream", "this quote is never closed", "close it"),
    ("expected '-'", "this line stands neither below the list's items nor beside its key", "mend its indentation"),
    (
        "<document start>",
        "text stands behind the end of the document",
        "write one map of keys: `key: value` in each line",
    ),
    ("incompatible YAML", "the %YAML line names another version", "delete the line"),
)
