"""The double's GraphQL: a schema made from the tracked tables of the real PostgreSQL, executed there by graphql-core.

It knows what Hasura v2 makes of a table: `where`, `order_by`, `limit`, `offset`, manual relationships, and updates.
Permissions of a role hide columns and rows. No aggregates, no subscriptions.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

import graphql as g
import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from skene_airflow.testing.hasura_metadata import Metadata, columns_of

_SCALARS: Final[dict[str, g.GraphQLScalarType]] = {
    "int4": g.GraphQLInt,
    "int2": g.GraphQLScalarType("smallint"),
    "int8": g.GraphQLScalarType("bigint"),
    "float4": g.GraphQLFloat,
    "text": g.GraphQLString,
    "varchar": g.GraphQLString,
    "bool": g.GraphQLBoolean,
}
_COMPARE: Final = {
    "_eq": "=", "_neq": "<>", "_gt": ">", "_gte": ">=", "_lt": "<", "_lte": "<=", "_like": "LIKE", "_ilike": "ILIKE",
}  # fmt: skip
_ORDERS: Final = ("asc", "desc", "asc_nulls_first", "asc_nulls_last", "desc_nulls_first", "desc_nulls_last")
Table = Mapping[str, Any]


class Session(dict[str, str]):
    """The session variables of a request, by lower-case name."""

    @property
    def role(self) -> str:
        return self.get("x-hasura-role", "admin")


class Engine:
    """Answers GraphQL over the tracked tables as they are now."""

    def __init__(self, metadata: Metadata, connect: Any) -> None:
        self._metadata, self._connect = metadata, connect

    def answer(self, body: Mapping[str, Any], session: Session) -> dict[str, Any]:
        """The JSON answer to one request; errors have Hasura's shape."""
        schema = _Schema(self._metadata.tables, self._connect, session).build()
        if schema is None:
            return _errors("no queries are available to the current role", "validation-failed")
        with self._connect() as conn:
            conn.row_factory = dict_row
            result = g.graphql_sync(
                schema,
                str(body.get("query", "")),
                context_value=conn,
                variable_values=body.get("variables") or {},
                operation_name=body.get("operationName"),
            )
        if result.errors:
            return _errors(result.errors[0].message, "validation-failed")
        return {"data": result.data}


def _errors(message: str, code: str) -> dict[str, Any]:
    return {"errors": [{"message": message, "extensions": {"path": "$", "code": code}}]}


class _Schema:
    """One schema, for one role."""

    def __init__(self, tables: Sequence[Table], connect: Any, session: Session) -> None:
        self._session = session
        self._tables = {
            (table["table"]["schema"], table["table"]["name"]): table for table in tables if self._readable(table)
        }
        self._columns = {key: columns_of(connect, table["table"]) for key, table in self._tables.items()}
        self._scalars = dict(_SCALARS)
        self._types: dict[tuple[str, str], g.GraphQLObjectType] = {}
        self._filters: dict[tuple[str, str], g.GraphQLInputObjectType] = {}
        self._comparisons: dict[str, g.GraphQLInputObjectType] = {}
        self._order = g.GraphQLEnumType("order_by", {name: g.GraphQLEnumValue(name) for name in _ORDERS})

    def build(self) -> g.GraphQLSchema | None:
        if not self._tables:
            return None
        fields = {_name(key): self._root(key) for key in self._tables}
        changes = {f"update_{_name(key)}": self._update(key) for key in self._tables if self._permission(key, "update")}
        mutation = g.GraphQLObjectType("mutation_root", changes) if changes else None
        return g.GraphQLSchema(g.GraphQLObjectType("query_root", fields), mutation)

    def _readable(self, table: Table) -> bool:
        return self._session.role == "admin" or any(
            each["role"] == self._session.role for each in table.get("select_permissions", ())
        )

    def _permission(self, key: tuple[str, str], kind: str) -> Mapping[str, Any] | None:
        if self._session.role == "admin":
            return {"columns": "*", "filter": {}}
        for each in self._tables[key].get(f"{kind}_permissions", ()):
            if each["role"] == self._session.role:
                found: Mapping[str, Any] = each["permission"]
                return found
        return None

    def _visible(self, key: tuple[str, str]) -> dict[str, str]:
        permission = self._permission(key, "select") or {"columns": []}
        named = permission["columns"]
        return {name: kind for name, kind in self._columns[key].items() if named == "*" or name in named}

    def _scalar(self, kind: str) -> g.GraphQLScalarType:
        if kind not in self._scalars:
            self._scalars[kind] = g.GraphQLScalarType(kind)
        return self._scalars[kind]

    def _type(self, key: tuple[str, str]) -> g.GraphQLObjectType:
        if key not in self._types:
            self._types[key] = g.GraphQLObjectType(_name(key), lambda: self._fields(key))
        return self._types[key]

    def _fields(self, key: tuple[str, str]) -> dict[str, g.GraphQLField]:
        found = {name: g.GraphQLField(self._out(kind)) for name, kind in self._visible(key).items()}
        table = self._tables[key]
        for kind in ("object_relationships", "array_relationships"):
            for each in table.get(kind, ()):
                manual = each["using"].get("manual_configuration")
                remote = manual and (manual["remote_table"]["schema"], manual["remote_table"]["name"])
                if remote in self._tables:
                    found[each["name"]] = self._related(remote, manual["column_mapping"], kind == "array_relationships")
        return found

    def _out(self, kind: str) -> Any:
        return g.GraphQLList(self._scalar(kind[1:])) if kind.startswith("_") else self._scalar(kind)

    def _arguments(self, key: tuple[str, str]) -> dict[str, g.GraphQLArgument]:
        order = g.GraphQLInputObjectType(
            f"{_name(key)}_order_by",
            {name: g.GraphQLInputField(self._order) for name in self._visible(key)},
        )
        return {
            "where": g.GraphQLArgument(self._filter(key)),
            "order_by": g.GraphQLArgument(g.GraphQLList(g.GraphQLNonNull(order))),
            "limit": g.GraphQLArgument(g.GraphQLInt),
            "offset": g.GraphQLArgument(g.GraphQLInt),
        }

    def _filter(self, key: tuple[str, str]) -> g.GraphQLInputObjectType:
        if key not in self._filters:

            def fields() -> dict[str, g.GraphQLInputField]:
                mine = self._filters[key]
                found = {name: g.GraphQLInputField(self._comparison(kind)) for name, kind in self._visible(key).items()}
                both = g.GraphQLInputField(g.GraphQLList(g.GraphQLNonNull(mine)))
                return {**found, "_and": both, "_or": both, "_not": g.GraphQLInputField(mine)}

            self._filters[key] = g.GraphQLInputObjectType(f"{_name(key)}_bool_exp", fields)
        return self._filters[key]

    def _comparison(self, kind: str) -> g.GraphQLInputObjectType:
        if kind not in self._comparisons:
            scalar = self._scalar(kind)
            several = g.GraphQLInputField(g.GraphQLList(g.GraphQLNonNull(scalar)))
            fields = {name: g.GraphQLInputField(scalar) for name in _COMPARE}
            fields |= {"_in": several, "_nin": several, "_is_null": g.GraphQLInputField(g.GraphQLBoolean)}
            self._comparisons[kind] = g.GraphQLInputObjectType(f"{scalar.name}_{kind}_comparison_exp", fields)
        return self._comparisons[kind]

    def _root(self, key: tuple[str, str]) -> g.GraphQLField:
        whole = g.GraphQLNonNull(g.GraphQLList(g.GraphQLNonNull(self._type(key))))

        def resolve(_: Any, info: g.GraphQLResolveInfo, **arguments: Any) -> Any:
            return self._select(info.context, key, arguments)

        return g.GraphQLField(whole, self._arguments(key), resolve)

    def _related(self, key: tuple[str, str], mapping: Mapping[str, str], many: bool) -> g.GraphQLField:
        def resolve(row: Mapping[str, Any], info: g.GraphQLResolveInfo) -> Any:
            both = [
                sql.SQL("{} = {}").format(sql.Identifier(there), sql.Literal(row[here]))
                for here, there in mapping.items()
            ]
            rows = self._select(info.context, key, {}, both)
            return rows if many else next(iter(rows), None)

        kind = self._type(key)
        return g.GraphQLField(g.GraphQLList(kind) if many else kind, resolve=resolve)

    def _select(
        self,
        conn: psycopg.Connection[Any],
        key: tuple[str, str],
        arguments: Mapping[str, Any],
        more: Sequence[Any] = (),
    ) -> list[dict[str, Any]]:
        permission = self._permission(key, "select") or {"filter": {}}
        tests = [*more, self._where(key, arguments.get("where") or {}), self._allowed(key, permission["filter"])]
        order = [(name, word) for each in arguments.get("order_by") or [] for name, word in each.items()]
        text = sql.SQL("SELECT to_json(t)::text AS row FROM {} t WHERE {}").format(
            sql.Identifier(*key), sql.SQL(" AND ").join(tests)
        )
        if order:
            words = [sql.SQL(f"{{}} {word.replace('_', ' ')}").format(sql.Identifier(name)) for name, word in order]
            text += sql.SQL(" ORDER BY ") + sql.SQL(", ").join(words)
        limits = [value for value in (arguments.get("limit"), permission.get("limit")) if value is not None]
        if limits:
            text += sql.SQL(" LIMIT {}").format(sql.Literal(min(limits)))
        if arguments.get("offset"):
            text += sql.SQL(" OFFSET {}").format(sql.Literal(arguments["offset"]))
        return [json.loads(row["row"]) for row in conn.execute(text)]

    def _allowed(self, key: tuple[str, str], filter_: Mapping[str, Any]) -> Any:
        def filled(value: Any) -> Any:
            if isinstance(value, dict):
                return {name: filled(part) for name, part in value.items()}
            if isinstance(value, str) and value.lower().startswith("x-hasura-"):
                return self._session[value.lower()]
            return value

        return self._where(key, filled(filter_))

    def _where(self, key: tuple[str, str], tree: Mapping[str, Any]) -> Any:
        parts: list[Any] = [sql.SQL("true")]
        for name, value in tree.items():
            if name in ("_and", "_or"):
                inner = [self._where(key, each) for each in value]
                joined = (
                    sql.SQL(" AND " if name == "_and" else " OR ").join(inner)
                    if inner
                    else sql.SQL(str(name == "_and"))
                )
                parts.append(sql.SQL("({})").format(joined))
            elif name == "_not":
                parts.append(sql.SQL("NOT ({})").format(self._where(key, value)))
            else:
                parts += [self._test(key, name, word, operand) for word, operand in value.items()]
        return sql.SQL(" AND ").join(parts)

    def _test(self, key: tuple[str, str], column: str, word: str, operand: Any) -> Any:
        if operand is None:
            raise g.GraphQLError(f"unexpected null value for type {column}")
        name, kind = sql.Identifier(column), sql.Identifier(self._columns[key][column])
        if word == "_is_null":
            return sql.SQL("{} IS NULL" if operand else "{} IS NOT NULL").format(name)
        if word in ("_in", "_nin"):
            test = sql.SQL("{} = ANY ({}::text[]::{}[])").format(name, sql.Literal([str(o) for o in operand]), kind)
            return test if word == "_in" else sql.SQL("NOT ({})").format(test)
        return sql.SQL(f"{{}} {_COMPARE[word]} {{}}::text::{{}}").format(name, sql.Literal(str(operand)), kind)

    def _update(self, key: tuple[str, str]) -> g.GraphQLField:
        permission = self._permission(key, "update") or {}
        named = permission["columns"]
        settable = {name: kind for name, kind in self._columns[key].items() if named == "*" or name in named}
        values = g.GraphQLInputObjectType(
            f"{_name(key)}_set_input",
            {name: g.GraphQLInputField(self._scalar(kind)) for name, kind in settable.items()},
        )
        done = g.GraphQLObjectType(f"{_name(key)}_mutation_response", {"affected_rows": g.GraphQLField(g.GraphQLInt)})

        def resolve(_: Any, info: g.GraphQLResolveInfo, where: Mapping[str, Any], _set: Mapping[str, Any]) -> Any:
            tests = [self._where(key, where), self._allowed(key, permission["filter"])]
            pairs = [
                sql.SQL("{} = {}::text::{}").format(sql.Identifier(n), sql.Literal(v), sql.Identifier(settable[n]))
                for n, v in _set.items()
            ]
            text = sql.SQL("UPDATE {} SET {} WHERE {}").format(
                sql.Identifier(*key), sql.SQL(", ").join(pairs), sql.SQL(" AND ").join(tests)
            )
            return {"affected_rows": info.context.execute(text).rowcount}

        arguments = {
            "where": g.GraphQLArgument(g.GraphQLNonNull(self._filter(key))),
            "_set": g.GraphQLArgument(values),
        }
        return g.GraphQLField(done, arguments, resolve)


def _name(key: tuple[str, str]) -> str:
    return key[1] if key[0] == "public" else f"{key[0]}_{key[1]}"
