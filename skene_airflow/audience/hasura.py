"""The people of a GraphQL condition: page by page in the order of their key, typed by the endpoint's own schema.

The rows travel through a file into a temporary table, so that memory stays flat and no transaction waits for the
network; from there on a condition is a condition.
"""

from __future__ import annotations

import json
import time
import weakref
from dataclasses import dataclass
from tempfile import SpooledTemporaryFile
from typing import IO, TYPE_CHECKING, Any, Final

from psycopg import sql

from skene_airflow.errors import QueryError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    import psycopg

    from skene_airflow.hasura.client import Hasura
    from skene_airflow.loop.graphql import Document
    from skene_airflow.loop.schema import GraphqlCondition

PAGE: Final = 1_000
"""Rows in one request."""
TABLE: Final = '"skene people"'
QUERY: Final = 'SELECT * FROM pg_temp."skene people"'

_IN_MEMORY: Final = 4_000_000
_BLOCK: Final = 256_000
_WRAPPED: Final = "{ kind name ofType { kind name ofType { kind name ofType { kind name } } } }"
_FIELDS: Final = f"query ($name: String!) {{ __type(name: $name) {{ fields {{ name type {_WRAPPED} }} }} }}"
_ROOT: Final = "query { __schema { queryType { name } } }"
# Hasura names its scalars as PostgreSQL names the types; these are the ones that GraphQL has of its own.
_TYPES: Final = {
    "Int": "integer", "Float": "double precision", "String": "text", "Boolean": "boolean", "ID": "text",
    "smallint": "smallint", "bigint": "bigint", "float8": "double precision", "numeric": "numeric",
    "timestamptz": "timestamptz", "timestamp": "timestamp", "date": "date", "time": "time", "timetz": "timetz",
    "uuid": "uuid", "json": "jsonb", "jsonb": "jsonb", "money": "text",
}  # fmt: skip
_COPY: Final = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r", "\0": None})


@dataclass(frozen=True, slots=True, weakref_slot=True)
class People:
    """What was fetched: the type of each column, the number of rows, and the rows in COPY text format.

    The file is closed when nobody has the people any more.
    """

    columns: Mapping[str, str]
    rows: int
    file: IO[bytes]


def fetch(
    hasura: Hasura,
    condition: GraphqlCondition,
    as_of: datetime,
    key: str,
    clock: Callable[[], float] = time.monotonic,
) -> People:
    """Ask for everybody, within the condition's `timeout`; ``key`` is the column of the person's key.

    Raises QueryError, in our own words: an endpoint's may quote people's data.
    """
    from skene_airflow.hasura.client import HasuraError  # a parser and an HTTP client, which few tasks need
    from skene_airflow.loop.graphql import AS_OF, read

    document = read(condition.query, condition.path)
    until = clock() + condition.timeout.total_seconds()
    variables = dict(condition.variables)
    if AS_OF in document.variables:
        variables.setdefault(AS_OF, as_of.isoformat())

    def ask(text: str, values: Mapping[str, Any]) -> dict[str, Any]:
        left = until - clock()
        if left <= 0:
            raise QueryError(f"The condition ran longer than its timeout ({condition.timeout}).")
        try:
            return hasura.graphql(text, values, timeout=left)
        except HasuraError as error:
            raise QueryError(f"The condition failed: {error}") from None

    kinds = _kinds(document, ask)
    if key not in document.columns:
        raise QueryError(f"The condition does not return the column {key!r}, which is `user.key`.")
    columns = {name: _TYPES.get(kinds[field], "text") for name, (field, _) in document.columns.items()}
    columns |= {name: "jsonb" for name, (field, deep) in document.columns.items() if deep or kinds[field] == "["}
    file: IO[bytes] = SpooledTemporaryFile(_IN_MEMORY)  # noqa: SIM115 - it lives as long as the people do
    try:
        rows = 0
        for page in _pages(document, key, kinds[document.columns[key][0]], ask, variables):
            file.write(b"".join(_line(row, columns) for row in page))
            rows += len(page)
    except BaseException:
        file.close()
        raise
    people = People(columns, rows, file)
    weakref.finalize(people, file.close)
    return people


def _kinds(document: Document, ask: Callable[[str, Mapping[str, Any]], dict[str, Any]]) -> dict[str, str]:
    """The scalar type of each field of the list, `[` for a list, as the endpoint's schema has it."""
    schema = ask(_ROOT, {}).get("__schema")
    name = schema["queryType"]["name"] if schema else "query_root"
    for field in document.names:
        fields = _fields(ask, name)
        if field not in fields:
            raise QueryError(f"The endpoint knows no '{field}' there, or the role may not read it.")
        _, name = fields[field]
    fields = _fields(ask, name)
    missing = sorted(field for field, _ in document.columns.values() if field not in fields and field != "__typename")
    if missing:
        raise QueryError(f"The endpoint knows no field '{missing[0]}' of {name}, or the role may not read it.")
    return {"__typename": "String"} | {field: "[" if kind == "LIST" else of for field, (kind, of) in fields.items()}


def _fields(ask: Callable[[str, Mapping[str, Any]], dict[str, Any]], name: str) -> dict[str, tuple[str, str]]:
    """The fields of a type: whether each is a list, and the name of its type."""
    found = ask(_FIELDS, {"name": name}).get("__type")
    if not found or not found.get("fields"):
        raise QueryError(
            "The endpoint does not tell its schema, and without it no column has a type: allow introspection for the"
            " role of the connection, or leave its `role` out."
        )
    return {each["name"]: _unwrapped(each["type"]) for each in found["fields"]}


def _unwrapped(kind: Mapping[str, Any]) -> tuple[str, str]:
    shape, here = "", dict(kind)
    while here.get("ofType"):
        shape = "LIST" if here["kind"] == "LIST" else shape
        here = dict(here["ofType"])
    return shape or str(here["kind"]), str(here.get("name") or "")


def _pages(
    document: Document,
    key: str,
    kind: str,
    ask: Callable[[str, Mapping[str, Any]], dict[str, Any]],
    variables: Mapping[str, Any],
) -> Any:
    """The rows, page by page. A page may end within one person's rows, or be cut by the role's own limit: the last
    person of each page is asked for again, and only an empty page is the end."""
    from skene_airflow.loop.graphql import AFTER, LIMIT

    first, behind = document.page(key, None), document.page(key, kind)
    most, after, given = document.most(variables), None, 0
    while most is None or given < most:
        size = PAGE if most is None else min(PAGE, most - given)
        more = {LIMIT: size} if after is None else {LIMIT: size, AFTER: after}
        rows = _list(ask(first if after is None else behind, {**variables, **more}), document.path)
        if not rows:
            return
        last = rows[-1].get(key)
        whole = [row for row in rows if row.get(key) != last]
        if not whole:
            if len(rows) == PAGE:
                raise QueryError(f"The condition returns more than {PAGE} rows of one person; make them fewer.")
            whole = rows
        elif most is not None and given + len(rows) >= most:
            whole = rows
        after = whole[-1].get(key)
        if after is None:
            raise QueryError(f"The condition returns rows without the column {key!r}: leave them out with `where`.")
        given += len(whole)
        yield whole


def _list(data: Mapping[str, Any], path: Sequence[str]) -> list[dict[str, Any]]:
    here: Any = data
    for part in path:
        here = here.get(part) if isinstance(here, dict) else None
    if here is None:
        return []
    if not isinstance(here, list) or not all(isinstance(row, dict) for row in here):
        raise QueryError(f"There is no list of people at {'.'.join(path)} of the answer.")
    return here


def _line(row: Mapping[str, Any], columns: Mapping[str, str]) -> bytes:
    return ("\t".join(_text(row.get(name), kind) for name, kind in columns.items()) + "\n").encode("utf-8", "replace")


def _text(value: Any, kind: str) -> str:
    if value is None:
        return "\\N"
    if kind == "jsonb" or isinstance(value, (dict, list)):
        text = json.dumps(value, ensure_ascii=False, default=float)
    else:
        text = str(value).lower() if isinstance(value, bool) else str(value)
    return text.translate(_COPY)


def fill(conn: psycopg.Connection[Any], people: People) -> None:
    """Put the people into a temporary table of the caller's transaction, which is read-only from then on."""
    table = sql.SQL(TABLE)
    shape = sql.SQL(", ").join(
        sql.SQL("{} {}").format(sql.Identifier(name), sql.SQL(kind)) for name, kind in people.columns.items()
    )
    with conn.cursor() as cur:
        cur.execute(sql.SQL("CREATE TEMPORARY TABLE {} ({}) ON COMMIT DROP").format(table, shape))
        people.file.seek(0)
        with cur.copy(sql.SQL("COPY {} FROM STDIN").format(table)) as copy:
            while block := people.file.read(_BLOCK):
                copy.write(block)
        cur.execute(sql.SQL("ANALYZE {}").format(table))
        cur.execute("SET TRANSACTION READ ONLY")
