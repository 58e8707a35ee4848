"""Values of a person who does not exist, made from how a mail uses them: for looking at a mail without a database."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from jinja2 import nodes

from skene_airflow.message.environment import sandbox
from skene_airflow.message.filters import GUARD_ITEMS, GUARD_LINK, GUARD_STYLE
from skene_airflow.message.render import Row

if TYPE_CHECKING:
    from collections.abc import Iterator

    from skene_airflow.message.blueprint import Blueprint

ADDRESS = "ada@example.com"
KEY = "sample"
_BY_FILTER = {
    **dict.fromkeys(("date", "datetime", "time", "ago"), "moment"),
    **dict.fromkeys(("number", "money", "round", "abs", "int", "float"), "number"),
    **dict.fromkeys((GUARD_ITEMS, "join", "first", "last", "sort", "sum", "unique"), "list"),
    GUARD_LINK: "link",
    GUARD_STYLE: "colour",
}
_BY_WORD = {
    **dict.fromkeys(("at", "on", "date", "time", "since", "until", "day", "activity"), "moment"),
    **dict.fromkeys(
        ("count", "total", "number", "amount", "price", "seats", "points", "days", "quantity", "score", "n", "id"),
        "number",
    ),
    **dict.fromkeys(("url", "link", "href"), "link"),
}
_WORDS = {
    "email": ADDRESS, "name": "Ada", "firstname": "Ada", "lastname": "Lovelace", "surname": "Lovelace",
    "fullname": "Ada Lovelace", "company": "Acme", "organization": "Acme", "account": "Acme", "team": "Acme",
    "city": "Helsinki", "country": "Finland", "plan": "Pro", "tier": "Pro", "currency": "EUR", "locale": "en",
    "language": "en", "timezone": "Europe/Helsinki",
}  # fmt: skip
_FLAGS = ("is", "has", "can", "wants")


def sample_row(blueprint: Blueprint, as_of: datetime | None = None, locale: str | None = None) -> Row:
    """Return somebody who does not exist, with a value for every column that the mail reads.

    The same blueprint, moment and locale make the same person. ``as_of`` is now where it is absent.
    """
    moment = as_of or datetime.now(UTC).replace(microsecond=0)
    return Row(
        delivery_id=0,
        loop_id=blueprint.loop_id,
        step_id=blueprint.step_id,
        user_key=KEY,
        entry_key="",
        address=ADDRESS,
        user=sample_values(blueprint, moment),
        locale=locale,
        as_of=moment,
    )


def sample_values(blueprint: Blueprint, as_of: datetime) -> dict[str, Any]:
    """Return a value for each column: of the kind that the mail's filters and tests need, else by its name."""
    uses = _Uses(blueprint)
    return {column: _value(column, uses, as_of) for column in blueprint.columns}


class _Uses:
    """How the sources of a blueprint use columns: the kind of each, and the parts that are read of it."""

    def __init__(self, blueprint: Blueprint) -> None:
        self.kinds: dict[str, str] = {}
        self.parts: dict[str, list[str]] = {}
        self._names: dict[str, str] = {}
        parse = sandbox(escape=False).parse
        for key, value in blueprint.personalization.items():
            if isinstance(value, str):
                tree = parse(value)
                self._read(tree)
                first = next(iter(tree.find_all(nodes.Output)), None)
                column = self._column(first.nodes[0]) if first and len(first.nodes) == 1 else None
                if column:
                    self._names[key] = column
        for source in blueprint.sources:
            self._read(parse(source))

    def _column(self, node: nodes.Node | None) -> str | None:
        match node:
            case nodes.Getattr(node=nodes.Name(name="user"), attr=str() as column):
                return column
            case nodes.Getitem(node=nodes.Name(name="user"), arg=nodes.Const(value=str() as column)):
                return column
            case nodes.Name():
                return self._names.get(node.name)
            case nodes.Filter() if node.name in (GUARD_ITEMS, GUARD_LINK, GUARD_STYLE, "default", "d"):
                return self._column(node.node)
            case nodes.Or():
                return self._column(node.left)
        return None

    def _read(self, tree: nodes.Template) -> None:
        for node in tree.find_all((nodes.Filter, nodes.Compare, nodes.BinExpr, nodes.For, nodes.Getattr)):
            for column, kind in self._told(node):
                self.kinds.setdefault(column, kind)

    def _told(self, node: nodes.Node) -> Iterator[tuple[str, str]]:
        if isinstance(node, nodes.Filter) and node.name in _BY_FILTER and (column := self._column(node.node)):
            yield column, _BY_FILTER[node.name]
        elif isinstance(node, nodes.Compare):
            numbers = any(isinstance(each.expr, nodes.Const) and type(each.expr.value) is int for each in node.ops)
            if numbers and (column := self._column(node.expr)):
                yield column, "number"
        elif isinstance(node, (nodes.Add, nodes.Sub, nodes.Mul, nodes.Div, nodes.Mod, nodes.FloorDiv)):
            yield from ((column, "number") for side in (node.left, node.right) if (column := self._column(side)))
        elif isinstance(node, nodes.For) and isinstance(node.target, nodes.Name):
            if column := self._column(node.iter):
                self.parts[column] = _parts_of(node, node.target.name)
        elif isinstance(node, nodes.Getattr) and (column := self._column(node.node)):
            self.parts.setdefault(column, []).append(node.attr)
            yield column, "map"


def _parts_of(walk: nodes.For, name: str) -> list[str]:
    read = (part for child in walk.body for part in child.find_all(nodes.Getattr))
    return [part.attr for part in read if isinstance(part.node, nodes.Name) and part.node.name == name]


def _value(column: str, uses: _Uses, as_of: datetime) -> Any:
    kind, parts = uses.kinds.get(column, ""), uses.parts.get(column, [])
    if kind == "list":
        titles = ("First", "Second", "Third")
        plain = [f"{title} {_words(column).removesuffix('s')}" for title in titles]
        return [
            {part: _named(part, as_of, title) for part in parts} or text
            for title, text in zip(titles, plain, strict=True)
        ]
    if kind == "map":
        return {part: _named(part, as_of) for part in parts}
    return _of_kind(kind, as_of) if kind else _named(column, as_of)


def _of_kind(kind: str, as_of: datetime) -> Any:
    values: dict[str, Any] = {
        "moment": as_of - timedelta(days=9),
        "number": Decimal(12),
        "link": "https://acme.example/sample",
        "colour": "#1d4ed8",
    }
    return values[kind]


def _named(name: str, as_of: datetime, title: str = "Sample") -> date | str | bool | Decimal:
    words = _words(name).split()
    whole = "".join(words)
    if words and words[0] in _FLAGS:
        return True
    for word in (whole, words[-1] if words else ""):
        if word in _WORDS:
            return _WORDS[word]
        if word in _BY_WORD:
            found: date | str | bool | Decimal = _of_kind(_BY_WORD[word], as_of)
            return found
    return f"{title} {' '.join(words)}".strip()


def _words(name: str) -> str:
    spaced = "".join(f" {char.lower()}" if char.isupper() else char for char in name)
    return " ".join(spaced.replace("_", " ").split())
