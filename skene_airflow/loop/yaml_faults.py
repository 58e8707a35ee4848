"""Faults of text that is not YAML, in words that say what to write instead."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from skene_airflow.loop import codes
from skene_airflow.nouns import Fault

if TYPE_CHECKING:
    import yaml

    from skene_airflow.loop.nodes import Source

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
    if mark is None or "end of stream" in problem or "expected ',' or" in problem:
        mark = getattr(error, "context_mark", None) or mark  # where the quote or bracket is opened
    line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
    lines = source.text.split("\n")
    here = lines[line - 1] if line <= len(lines) else ""
    if "\t" in here[: len(here) - len(here.lstrip())]:
        column = here.index("\t") + 1
        return stop(source, line, column, codes.TAB, "a tab stands in the indentation", "indent with spaces")
    for number in (line, line - 1):
        if 0 < number <= len(lines) and _SQL_COMMENT.search(lines[number - 1]):
            column = lines[number - 1].index(" #") + 2
            what = "YAML ends the SQL here, at ' #', and takes the rest for a comment"
            return stop(source, number, column, codes.CUT_SQL, what, "write the SQL below `query: |`")
    return stop(source, line, column, codes.SYNTAX, _words(problem, here[column - 1 : column]), _hint(problem, here))


def _words(problem: str, character: str) -> str:
    if "mapping values are not allowed" in problem:
        return "a ': ' that YAML does not expect here"
    if "cannot start any token" in problem:
        return f"no unquoted value can begin with '{character}'"
    if "expected ',' or" in problem:
        return "this is not closed, or a ',' is missing in it"
    if "unexpected end of stream" in problem:
        return "this quote is never closed"
    if "expected key" in problem or "expected ':'" in problem:
        return "this line is neither a key nor a part of the value above"
    return problem


def _hint(problem: str, line: str) -> str:
    if "mapping values are not allowed" in problem:
        return "quote the value, or mend the indentation of this line"
    if "cannot start any token" in problem:
        return "quote the value"
    if "unexpected end of stream" in problem:
        return "close it"
    if "expected key" in problem or "expected ':'" in problem:
        return "mend its indentation, or quote the whole value"
    return "quote the value" if "{{" in line else "mend this line"
