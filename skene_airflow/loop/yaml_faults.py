"""Faults of text that is not YAML, in words that say what to write instead."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from skene_airflow.loop import codes
from skene_airflow.loop.yaml_guesses import GUESSES, Complaint, quoted
from skene_airflow.nouns import Fault

if TYPE_CHECKING:
    import yaml

    from skene_airflow.loop.nodes import Source

# Complaints about text whose beginning is the better place: a quote or bracket, a sign, the key of a lone line.
_AT_THE_BEGINNING: Final = (
    "end of stream",
    "expected ',' or",
    "expected ':'",
    "alphabetic or",
    "comment or line break",
)


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
    mark, context = getattr(error, "problem_mark", None), getattr(error, "context_mark", None)
    line, column = (mark.line + 1, mark.column + 1) if mark is not None else (1, 1)
    began = (context.line + 1, context.column + 1) if context is not None else None
    if "nesting" in problem:  # brackets upon brackets, which the scanner itself stops at
        return stop(source, line, column, codes.TOO_DEEP, "nested far too deep", "no key of a loop is that deep")
    if began is not None and any(words in problem for words in _AT_THE_BEGINNING):
        line, column = began
        began = (mark.line + 1, mark.column + 1) if mark is not None else None
    complaint = Complaint(problem, line, column, began, source.text)
    for guess in GUESSES:
        if (found := guess(complaint)) is not None:
            return stop(source, *found)
    rows = complaint.lines
    if line > len(rows):  # behind the last line
        line, column = len(rows), len(rows[-1]) + 1
    return stop(source, line, column, codes.SYNTAX, *_words(complaint))


def _words(complaint: Complaint) -> tuple[str, str]:
    for part, what, hint in _PROBLEMS:
        if part in complaint.problem:
            return what.format(complaint.sign), hint or quoted(complaint.rest)
    if any(part in complaint.problem for part in ("expected key", "expected ':'", "expected '-'")):
        return "this line is neither a key nor a part of the value above", _INDENT
    return complaint.problem, "quote the value" if "{{" in complaint.here else "mend this line"


_INDENT: Final = "mend its indentation, or quote the whole value"
_NO_BEGINNING: Final = "no unquoted value can begin with '{}'"
_PERCENT: Final = ("directive name", "version number", "non-alphabetical character", "whitespace or line break")
_PROBLEMS: Final = (
    ("mapping values are not allowed", "a ': ' that YAML does not expect here", "quote the value, or mend this line"),
    ("cannot start any token", _NO_BEGINNING, ""),
    ("alphabetic or numeric", _NO_BEGINNING, ""),
    ("comment or line break", _NO_BEGINNING, ""),
    ("mapping keys are not allowed", _NO_BEGINNING, ""),
    (
        "block sequence entries",
        "a list cannot begin beside its key",
        "quote the value, or begin the list below the key",
    ),
    ("hexdecimal", "a backslash means something else in double quotes", "use single quotes, or write it below `|`"),
    ("unknown escape", "a backslash means something else in double quotes", "use single quotes, or write it below `|`"),
    ("expected ',' or", "this is not closed, or a ',' is missing in it", "close it, or quote the value"),
    ("unexpected end of stream", "this quote is never closed", "close it"),
    ("expected '-'", "this line stands neither below the list's items nor beside its key", "mend its indentation"),
    (
        "<document start>",
        "text stands behind the end of the document",
        "write one map of keys: `key: value` in each line",
    ),
    ("document indicator", "this quote is never closed", "close it"),
    *(
        (words, "a line that begins with '%' speaks to YAML itself", "delete it, or quote the value")
        for words in _PERCENT
    ),
    ("incompatible YAML", "the %YAML line names another version", "delete the line"),
)
