"""What somebody most likely meant where PostgreSQL's parser gave up."""

from __future__ import annotations

import difflib
import re
from typing import Final

_KEYWORDS: Final = (
    *("SELECT", "FROM", "WHERE", "JOIN", "LEFT", "GROUP", "ORDER", "HAVING", "LIMIT", "UNION"),
    *("INTERVAL", "BETWEEN", "EXISTS", "DISTINCT", "CASE", "WHEN", "AND", "NOT", "NULL", "WITH"),
)
_NEAR: Final = 60  # characters around the trouble that a hint looks at
THE_PARAMETER: Final = "the one parameter of a query is :as_of, the time the run is for"
# What PostgreSQL stumbles over → what it writes instead.
_HINTS: Final = (
    (re.compile("`"), 'PostgreSQL writes names bare, or in double quotes: "users"'),
    (
        re.compile("[\u2018\u2019\u201c\u201d]|.{0,12}[\u2018\u2019\u201c\u201d]"),
        "write plain quotes: 'text', \"name\"",
    ),
    (re.compile(r"%\(\w+\)s|%s|\?|@\w+"), THE_PARAMETER),
    (re.compile(r"\$\{|\$\w"), "nothing is filled into a query; write the value, or join a table that has it"),
    (
        re.compile(r"\[?\d+\]?\s+(?:\*|\w+\s*,|\w+\s+from\b)", re.IGNORECASE),
        "PostgreSQL writes LIMIT at the end of a query",
    ),
    (re.compile(r"==|&&|!(?!=)"), "PostgreSQL writes =, AND, NOT"),
    (re.compile(r"'[^']*$"), "close the quote; an apostrophe within a text is written twice: ''"),
)


def syntax_hint(text: str, at: int) -> str:
    """What to write instead of what stands at this character, where PostgreSQL's parser gave up."""
    for pattern, hint in _HINTS:
        if pattern.match(text, at):
            return hint
    before = text[max(at - _NEAR, 0) : at]
    if re.search(r",\s*$", before):
        return "delete the ',' before it"
    if re.search(r"\binterval\s+$", before, re.IGNORECASE):
        return "write interval '7 days': number and unit in one text in single quotes"
    if near := _meant_keyword(text, at):
        return f"did you mean {near}?"
    if re.fullmatch(r"\s*\S+\.sql\s*", text):
        return "write the SQL itself, below `query: |`"
    if not re.match(r"\s*(?:--|/\*|\(|(?:select|with|table|values|update|insert|delete)\b)", text, re.IGNORECASE):
        return "write one SELECT, such as SELECT * FROM users WHERE …"
    return "try the query in psql"


def _meant_keyword(text: str, at: int) -> str:
    """The keyword that the word at a place, or the one before it, is a misspelling of."""
    start = max(at - _NEAR, 0)
    before = re.search(r"[A-Za-z]+\s*$", text[start:at])
    for place in (at, start + before.start() if before else at):
        word = re.match(r"[A-Za-z]*", text[place : place + _NEAR])
        found = word.group().upper() if word else ""
        if found and found not in _KEYWORDS and (near := difflib.get_close_matches(found, _KEYWORDS, 1, 0.7)):
            return near[0]
    return ""
