"""The SQL of a loop, checked where it stands: queries, expressions, the UPDATE, and the columns they must have."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pglast import parser

from skene_airflow.loop import codes
from skene_airflow.loop.faults import node_fault
from skene_airflow.loop.nodes import Loc, Node, path_text
from skene_airflow.loop.sql import SqlFault, check_expression, check_select
from skene_airflow.loop.sql_shape import check_update, columns, count_columns, relations
from skene_airflow.nouns import Fault

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Check = Callable[[str], list[SqlFault]]

KEY: Final = "id"
EMAIL: Final = "email"
MAX_TOGETHER: Final = 40_000


def check_sql(root: Node) -> Iterator[Fault]:
    """The faults of every piece of SQL in a loop."""
    if (too_much := _too_much(root)) is not None:
        yield too_much
        return
    for loc, check in places(root):
        yield from _faults(root, loc, check)
    for loc, names in _wanted(root):
        yield from _lacking(root, loc, names)
    yield from _ready(root)
    yield from _events(root)


def _too_much(root: Node) -> Fault | None:
    """A fault at the piece of SQL that goes beyond what one file may ask a parser to read."""
    length = 0
    for loc, _ in places(root):
        node = root.get(*loc)
        length += len(node.text() or "") if node is not None else 0
        if length > MAX_TOGETHER:
            what = f"the SQL of this loop has more than {MAX_TOGETHER:,} characters together"
            return node_fault(root, loc, codes.SQL_TOO_COMPLEX, what, "move some of it into views of your database")
    return None


def condition_loc(root: Node, index: int) -> Loc | None:
    """Where the SELECT of a step's condition stands; None for a step without one."""
    loc: Loc = ("steps", index, "condition")
    condition = root.get(*loc)
    if condition is None:
        return None
    kind = condition.get("type")
    if condition.text() is not None:
        return loc
    return (*loc, "query") if kind is not None and kind.value == "query" else None


def _steps(root: Node) -> Iterator[tuple[int, Node]]:
    yield from enumerate((root.get("steps") or root).items())


def places(root: Node) -> Iterator[tuple[Loc, Check]]:
    """Where SQL may stand in a loop, and the check of each place."""
    for index, step in _steps(root):
        if found := condition_loc(root, index):
            yield found, check_select
        yield ("steps", index, "ready", "query"), check_select
        yield ("steps", index, "on_sent"), check_update
        segments = step.get("segments")
        for number, _ in enumerate(segments.items() if segments is not None else ()):
            yield ("steps", index, "segments", number, "when"), check_expression
    yield ("goal", "query"), check_select
    if not _is_goal(root.get("exit")):
        yield ("exit",), check_select


def _is_goal(node: Node | None) -> bool:
    return node is not None and (node.text() or "").strip().lower() == "goal"


def _faults(root: Node, loc: Loc, check: Check) -> Iterator[Fault]:
    node = root.get(*loc)
    text = node.text() if node is not None else None
    if node is None or text is None:
        return
    faults = check(text)
    if node.cut == "sure" or (node.cut and any(fault.code == codes.SQL_SYNTAX for fault in faults)):
        what = "YAML cuts the SQL at ' #' and takes the rest of the line for a comment"
        yield node_fault(root, loc, codes.CUT_SQL, what, f"write the SQL below `{_key(loc)}: |`")
        return
    if (at := _folded(node, text)) is not None:
        what = "YAML joins these lines to one, and the SQL comment swallows what stands below it"
        faults = [SqlFault(at, what, f"write the SQL below `{_key(loc)}: |`", codes.SQL_FOLDED)]
    for fault in faults:
        line, column = node.place(fault.offset)
        path = path_text(loc)
        yield Fault(node.source.file, line, column, path, fault.code, fault.message, fault.suggestion)


def _key(loc: Loc) -> str:
    return next(str(part) for part in reversed(loc) if isinstance(part, str))


def _folded(node: Node, text: str) -> int | None:
    """Where a ``--`` comment begins that ended with its line in the file, but does not in the value."""
    if node.style == "|" or node.end_line <= node.line or "--" not in text:
        return None
    lines = [line.rstrip().rstrip("'\"") for line in node.source.text.split("\n")[node.line - 1 : node.end_line]]
    try:
        comments = [token for token in parser.scan(text) if token.name == "SQL_COMMENT"]
    except parser.ParseError:
        return None
    for token in comments:
        comment = text[token.start : token.end + 1].rstrip()
        if not any(line.endswith(comment) for line in lines):
            return int(token.start)
    return None


def _text(root: Node, *loc: str | int) -> str | None:
    node = root.get(*loc)
    return node.text() if node is not None else None


def _wanted(root: Node) -> Iterator[tuple[Loc, list[tuple[str, str]]]]:
    """Queries, and the columns they must return: each with what it is."""
    person = [(_text(root, "user", "key") or KEY, "the person's key")]
    for index, step in _steps(root):
        if found := condition_loc(root, index):
            yield found, wanted_columns(root, step)
    yield ("goal", "query"), [*person, ("at", "the time of the goal")]
    if not _is_goal(root.get("exit")):
        yield ("exit",), person


def wanted_columns(root: Node, step: Node) -> list[tuple[str, str]]:
    """The columns that a step's condition must return, each with what it is."""
    person = [(_text(root, "user", "key") or KEY, "the person's key")]
    mail = [(_text(root, "user", "email") or EMAIL, "the address")] if _is_mail(step) else []
    return [*person, *mail, *_named(root, step)]


def _is_mail(step: Node) -> bool:
    return _text(step, "action", "type") == "email"


def _named(root: Node, step: Node) -> Iterator[tuple[str, str]]:
    per, by, consent = root.get("entry", "per"), _text(step, "segments", "by"), _text(root, "consent")
    follows = _text(step, "trigger", "type") == "after"  # and enters people as the step before did
    for node in per.items() if per is not None and not follows else ():
        if (name := node.text()) is not None:
            yield name, "a column of `entry.per`"
    if by is not None:
        yield by, "the column of `segments.by`"
    if consent is not None:
        yield consent, "the column of `consent`"


def _lacking(root: Node, loc: Loc, wanted: list[tuple[str, str]]) -> Iterator[Fault]:
    text = _text(root, *loc)
    found = columns(text) if text is not None else None
    if found is None or _ends_at_a_comma(root, loc):
        return
    for name, meaning in wanted:
        if name not in found:
            what = f"the query returns no column '{name}', {meaning}"
            hint = f"add it to the SELECT, which returns {', '.join(found)}"
            yield node_fault(root, loc, codes.SQL_COLUMN, what, hint)
    twice = next((name for name in found if found.count(name) > 1), None)
    if twice is not None:
        what = f"the query returns two columns named '{twice}'"
        yield node_fault(root, loc, codes.DUPLICATE_NAME, what, "give one of them another name with AS")


def _ends_at_a_comma(root: Node, loc: Loc) -> bool:
    """Whether YAML ended unquoted SQL within braces at a comma, and took the next column for a key."""
    node, above = root.get(*loc), root.get(*loc[:-1])
    if node is None or above is None or node.style or not isinstance(above.value, dict):
        return False
    return any(entry.node.value is None and entry.line == node.end_line for entry in above.value.values())


def _ready(root: Node) -> Iterator[Fault]:
    for index, _ in _steps(root):
        loc: Loc = ("steps", index, "ready", "query")
        text = _text(root, *loc)
        number = count_columns(text) if text is not None else None
        if number is not None and number > 1:
            what = f"the query returns {number} columns, not one that is true or false"
            yield node_fault(root, loc, codes.SQL_BOOLEAN, what, "write one SELECT of one boolean")


def _events(root: Node) -> Iterator[Fault]:
    for index, step in _steps(root):
        if _text(step, "trigger", "type") != "database":
            continue
        if _text(step, "condition", "type") == "graphql":
            what = "a 'graphql' condition cannot read 'event', the rows that changed"
            hint = "write a SQL condition for a 'database' trigger, or leave the condition out"
            yield node_fault(root, ("steps", index, "condition", "type"), codes.NO_EVENT, what, hint)
        loc = condition_loc(root, index)
        text = _text(root, *loc) if loc else None
        if loc is None or text is None:
            continue
        read = relations(text)
        if read is not None and "event" not in read:
            what = "the condition of a 'database' trigger does not read 'event', the rows that changed"
            hint = "join it, such as … FROM users u JOIN event e ON e.id = u.id"
            yield node_fault(root, loc, codes.NO_EVENT, what, hint)
