"""A user's SQL, checked with PostgreSQL's own parser and without a database: one SELECT and nothing else.

Offsets count characters of the text. The query is never Jinja, and parameters are put in at the scanner's
token, never by text replacement.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from pglast import ast, parser

from skene_airflow.loop import codes
from skene_airflow.loop.sql_hints import THE_PARAMETER, syntax_hint

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    Judge = Callable[[ast.Node], Iterator["SqlFault"]]

PARAMETERS: Final = frozenset({"as_of"})
# The C parser recurses without a bound of its own: a chain of 16,000 UNIONs ends the process.
MAX_TOKENS: Final = 2_000

# Longer than any query people write by hand; it keeps the check of a hostile file short.
MAX_LENGTH: Final = 20_000

_WRITES: Final = (ast.InsertStmt, ast.UpdateStmt, ast.DeleteStmt, ast.MergeStmt)
_VERBS: Final = {ast.InsertStmt: "INSERT", ast.UpdateStmt: "UPDATE", ast.DeleteStmt: "DELETE", ast.MergeStmt: "MERGE"}
_STRINGS: Final = frozenset(("SCONST", "USCONST"))
COMMENTS: Final = frozenset(("SQL_COMMENT", "C_COMMENT"))
_ENDS_EXPRESSION: Final = frozenset(("IDENT", "ICONST", "FCONST", "SCONST", "PARAM", "ASCII_41", "ASCII_93"))
_NOT_TEXT: Final = re.compile("[\x00\ud800-\udfff]")
_WORD: Final = re.compile(r"[A-Za-z_][A-Za-z_0-9]*\Z")
# Array literals are '{{1,2},{3}}'; Jinja that people bring along has a space or one of Airflow's names.
_JINJA: Final = re.compile(r"\{%|\{\{(?:\s|-|(?:ds|ts|params|macros|var|dag|task|run_id|\w+_date|data_interval)\b)")
_NOW_WORDS: Final = frozenset(("current_timestamp", "current_date", "current_time", "localtime", "localtimestamp"))
_NOW_CALLS: Final = frozenset(("now", "clock_timestamp", "statement_timestamp", "transaction_timestamp", "timeofday"))
_BOOLEAN: Final = "write one condition over the query's columns, such as plan = 'pro' AND seats > 5"


@dataclass(frozen=True, slots=True)
class SqlFault:
    """One thing wrong in a query, at a character of its text."""

    offset: int
    message: str
    suggestion: str
    code: str


class _Token(NamedTuple):
    start: int
    end: int
    """One behind the last character."""
    name: str
    text: str


class _BrokenError(Exception):
    def __init__(self, fault: SqlFault) -> None:
        super().__init__(fault.message)
        self.fault = fault


def check_select(text: str) -> list[SqlFault]:
    """Every reason why this text is not one harmless SELECT; an empty list if it is one."""
    return list(_check(text))


def check_statement(text: str, judge: Judge, hint: str) -> list[SqlFault]:
    """The faults of a text that holds one statement, which ``judge`` looks at; ``hint`` says what belongs there."""
    try:
        tokens = scan(text)
        faults = [*_jinja(tokens), *_unknown_parameters(tokens)]
        if not faults:
            faults = list(judge(_parse(_neutral(text, tokens), tokens, hint)[0].stmt))
    except _BrokenError as broken:
        empty = broken.fault.code == codes.SQL_EMPTY
        faults = [replace(broken.fault, suggestion=hint) if empty else broken.fault]
    return sorted(faults, key=lambda fault: fault.offset)


def check_expression(text: str) -> list[SqlFault]:
    """Every reason why this text is not one SQL expression that may stand in parentheses in a SELECT."""
    try:
        written = scan(text)
        tokens = [token for token in written if token.name not in COMMENTS]
        faults = [*_jinja(tokens), *_unknown_parameters(tokens), *_ways_out(tokens)]
        if faults:
            return sorted(faults, key=lambda fault: fault.offset)
        prefix = "SELECT 1 WHERE (\n"
        statement: Any = parser.parse_sql(f"{prefix}{_neutral(text, written)}\n)")[0].stmt
    except _BrokenError as refused:
        return [refused.fault]
    except parser.ParseError as error:
        fault = _broken(error, prefix + text).fault
        offset = min(max(fault.offset - len(prefix), 0), len(text.rstrip()))
        return [replace(fault, offset=offset, suggestion=_BOOLEAN)]
    found = [replace(fault, offset=max(fault.offset - len(prefix), 0)) for fault in harms(statement)]
    return found or list(_not_boolean(statement.whereClause))


def statement_of(text: str) -> Any | None:
    """The syntax tree of a good SELECT, or None."""
    return None if _check(text) else _tree(text)


def walk(root: ast.Node) -> Iterator[ast.Node]:
    """The node and every node below it."""
    todo: list[Any] = [root]
    while todo:
        item = todo.pop()
        if isinstance(item, tuple):
            todo.extend(item)
        elif isinstance(item, ast.Node):
            yield item
            todo.extend(getattr(item, name) for name in item)


def bind(text: str, literals: Mapping[str, str]) -> str:
    """The query with its parameters replaced by SQL literals, without a trailing ``;``.

    Nothing inside strings, comments, dollar quotes or casts is touched. The result may stand inside
    parentheses. Raises ValueError for a query that ``check_select`` refuses or a literal that is missing.
    """
    return bind_checked(text, check_select(text), literals)


def bind_expression(text: str, literals: Mapping[str, str]) -> str:
    """The same for an expression. Raises ValueError for one that ``check_expression`` refuses."""
    return bind_checked(text, check_expression(text), literals)


def bind_checked(text: str, faults: list[SqlFault], literals: Mapping[str, str]) -> str:
    """The same for any text whose ``faults`` are known. Raises ValueError if there are some."""
    if faults:
        raise ValueError(faults[0].message)
    tokens = scan(text)
    pieces, at = [], 0
    for start, end, name in _parameter_tokens(tokens):
        if name not in literals:
            message = f"no literal for the parameter :{name}"
            raise ValueError(message)
        pieces += [text[at:start], _apart(text, start, literals[name], end)]
        at = end
    for semicolon in (token for token in tokens if token.name == "ASCII_59"):
        pieces.append(text[at : semicolon.start])
        at = semicolon.end
    # A closing parenthesis that is put behind a comment would be a part of it.
    return "".join(pieces) + text[at:] + ("\n" if tokens[-1].name == "SQL_COMMENT" else "")


def parameters(text: str) -> set[str]:
    """The names of the ``:parameters`` of a query; empty if the query cannot be scanned."""
    try:
        return {name for _, _, name in _parameter_tokens(scan(text))}
    except _BrokenError:
        return set()


def uses_now(text: str) -> int | None:
    """Where the query first asks for the present time, or None."""
    try:
        tokens = [token for token in scan(text) if token.name not in COMMENTS]
    except _BrokenError:
        return None
    for index, token in enumerate(tokens):
        word = token.text.lower()
        called = [following.text for following in tokens[index + 1 : index + 2]] == ["("]
        if word in _NOW_WORDS or (called and word in _NOW_CALLS):
            return token.start
    return None


def _apart(text: str, start: int, literal: str, end: int) -> str:
    """The literal with a space where it would melt into its neighbour: ``x:as_of`` is not ``x'…'``."""
    left = " " if start and (text[start - 1].isalnum() or text[start - 1] in "_$&'\"") else ""
    right = " " if end < len(text) and text[end] in "'\"$" else ""
    return f"{left}{literal}{right}"


@lru_cache(maxsize=1024)
def _check(text: str) -> tuple[SqlFault, ...]:
    try:
        tokens = scan(text)
        faults = [*_jinja(tokens), *_unknown_parameters(tokens)]
        if not faults:
            faults = list(_statement_faults(_tree(text), tokens))
    except _BrokenError as broken:
        faults = [broken.fault]
    return tuple(sorted(faults, key=lambda fault: fault.offset))


def scan(text: str) -> list[_Token]:
    """The tokens of a text, comments among them."""
    if len(text) > MAX_LENGTH:
        what = f"the query has more than {MAX_LENGTH:,} characters"
        raise _BrokenError(SqlFault(0, what, "move it into a view of your database", codes.SQL_TOO_COMPLEX))
    if bad := _NOT_TEXT.search(text):
        what = "the query holds a NUL or half a character"
        raise _BrokenError(SqlFault(bad.start(), what, "delete it", codes.SQL_SYNTAX))
    try:
        found = parser.scan(text)
    except parser.ParseError as error:
        raise _broken(error, text) from None
    if len(found) > MAX_TOKENS:
        what = f"the query has more than {MAX_TOKENS:,} words and signs"
        raise _BrokenError(SqlFault(0, what, "move it into a view of your database", codes.SQL_TOO_COMPLEX))
    return [_Token(token.start, token.end + 1, token.name, text[token.start : token.end + 1]) for token in found]


def _broken(error: Exception, text: str) -> _BrokenError:
    message, offset = str(error.args[0]), error.args[1] if len(error.args) > 1 else None
    at = offset if isinstance(offset, int) else len(text.rstrip())  # None: the text ends too early
    if "memory exhausted" in message:
        what, hint = "the query is nested too deeply", "move a part of it into a view of your database"
        return _BrokenError(SqlFault(at, what, hint, codes.SQL_TOO_COMPLEX))
    what = f"the SQL does not parse: {message}"[:200]
    return _BrokenError(SqlFault(at, what, syntax_hint(text, at), codes.SQL_SYNTAX))


def _jinja(tokens: list[_Token]) -> Iterator[SqlFault]:
    hint = "SQL is never a template; the time of the run is the parameter :as_of"
    for token, following in pairwise(tokens):
        opens = token.text == "{" and following.text in ("{", "%") and following.start == token.end
        if opens:
            yield SqlFault(token.start, "Jinja does not work in a query", hint, codes.SQL_JINJA)
            return
    for token in tokens:
        if token.name in _STRINGS and (found := _JINJA.search(token.text)):
            at = token.start + found.start()
            yield SqlFault(at, "Jinja does not work in a query", hint, codes.SQL_JINJA)


def _parameter_tokens(tokens: list[_Token]) -> Iterator[tuple[int, int, str]]:
    """Every ``:name`` outside strings and comments; the colon of an array slice is none."""
    opened: list[str] = []
    before: _Token | None = None
    for index, token in enumerate(tokens):
        if token.name in COMMENTS:
            continue
        if token.text in ("[", "("):
            opened.append(token.text)
        elif token.text in ("]", ")") and opened:
            opened.pop()
        following = tokens[index + 1] if index + 1 < len(tokens) else None
        if token.name == "ASCII_58" and following is not None and following.start == token.end:
            in_slice = opened[-1:] == ["["] and _is_slice(before, following.text)
            if not in_slice and (_WORD.match(following.text) or following.name == "ICONST"):
                yield token.start, following.end, following.text
        before = token


def _is_slice(before: _Token | None, name: str) -> bool:
    ends = before is not None and (before.name in _ENDS_EXPRESSION or before.text.startswith('"'))
    return ends or name not in PARAMETERS


def _unknown_parameters(tokens: list[_Token]) -> Iterator[SqlFault]:
    for start, _, name in _parameter_tokens(tokens):
        if name not in PARAMETERS:
            yield SqlFault(start, f"unknown parameter ':{name}'", THE_PARAMETER, codes.SQL_PARAMETER)
    before: _Token | None = None
    for token in tokens:
        # `a ? b` is an operator of jsonb; a `?` with nothing on its left is another driver's parameter.
        is_alone = token.text == "?" and (before is None or before.name not in _ENDS_EXPRESSION)
        if token.name == "PARAM" or is_alone:
            yield SqlFault(token.start, f"unknown parameter '{token.text}'", THE_PARAMETER, codes.SQL_PARAMETER)
        before = token


def _neutral(text: str, tokens: list[_Token]) -> str:
    """The query with ``$1`` for its parameter, padded so that every offset stays what it is."""
    pieces, at = [], 0
    for start, end, _ in _parameter_tokens(tokens):
        pieces += [text[at:start], " $1".ljust(end - start)]
        at = end
    return "".join(pieces) + text[at:]


@lru_cache(maxsize=256)
def _tree(text: str) -> Any:
    tokens = scan(text)
    return _parse(_neutral(text, tokens), tokens, "a condition is one SELECT; delete the rest")[0].stmt


def _parse(text: str, tokens: list[_Token], hint: str) -> tuple[Any, ...]:
    if not any(token.name not in COMMENTS and token.text != ";" for token in tokens):
        raise _BrokenError(SqlFault(0, "the query is empty", "write one SELECT", codes.SQL_EMPTY))
    try:
        statements: tuple[Any, ...] = parser.parse_sql(text)
    except parser.ParseError as error:
        raise _broken(error, text) from None
    semicolons = [token for token in tokens if token.text == ";"]
    last = next(token for token in reversed(tokens) if token.name not in COMMENTS)
    if len(statements) > 1 or len(semicolons) > 1 or (semicolons and last.text != ";"):
        what = "there is more than one statement"
        fault = SqlFault(semicolons[0].start, what, hint, codes.SQL_SEVERAL)
        raise _BrokenError(fault)
    return statements


def _statement_faults(statement: ast.Node, tokens: list[_Token]) -> Iterator[SqlFault]:
    if isinstance(statement, (ast.SelectStmt, *_WRITES)):
        yield from harms(statement, _locks_at(tokens))
    else:
        yield SqlFault(0, f"this is {kind_of(statement)}, not a SELECT", "write one SELECT", codes.SQL_NOT_SELECT)


def kind_of(statement: ast.Node) -> str:
    """What kind of statement this is, as SQL calls it."""
    kind = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", type(statement).__name__.removesuffix("Stmt"))
    return kind.upper()


def harms(root: ast.Node, locks_at: int = 0) -> Iterator[SqlFault]:
    """Whatever in this tree does more than read."""
    for node in walk(root):
        if isinstance(node, _WRITES):
            at = getattr(node.relation, "location", None) or 0
            what = f"the query writes: {_VERBS[type(node)]}"
            yield SqlFault(at, what, "a condition only reads; people are marked with on_sent", codes.SQL_WRITES)
        elif isinstance(node, ast.IntoClause):
            what = "SELECT INTO makes a table"
            yield SqlFault(getattr(node.rel, "location", None) or 0, what, "leave INTO out", codes.SQL_INTO)
        elif isinstance(node, ast.LockingClause):
            what = "the query locks rows (FOR UPDATE, FOR SHARE)"
            yield SqlFault(locks_at, what, "leave the locking clause out", codes.SQL_LOCKS)


def _ways_out(tokens: list[_Token]) -> Iterator[SqlFault]:
    """What would end the parentheses around an expression; an empty one."""
    if not tokens:
        yield SqlFault(0, "the expression is empty", _BOOLEAN, codes.SQL_EMPTY)
    depth = 0
    for token in tokens:
        depth += (token.text == "(") - (token.text == ")")
        if token.text == ";" or depth < 0:
            yield SqlFault(token.start, f"an expression does not hold '{token.text}' here", _BOOLEAN, codes.SQL_BOOLEAN)
            return


def _not_boolean(node: Any) -> Iterator[SqlFault]:
    if isinstance(node, ast.A_Const):
        wrong = not isinstance(node.val, ast.Boolean) and not node.isnull
    else:
        kind = node.subLinkType if isinstance(node, ast.SubLink) else None
        scalar = kind is not None and kind.name in ("EXPR_SUBLINK", "ARRAY_SUBLINK")
        wrong = scalar or isinstance(node, (ast.RowExpr, ast.A_ArrayExpr, ast.SetToDefault))
    if wrong:
        yield SqlFault(0, "this is not one boolean expression", _BOOLEAN, codes.SQL_BOOLEAN)


def _locks_at(tokens: list[_Token]) -> int:
    kinds = ("UPDATE", "SHARE", "NO", "KEY")
    return next((token.start for token, after in pairwise(tokens) if token.name == "FOR" and after.name in kinds), 0)
