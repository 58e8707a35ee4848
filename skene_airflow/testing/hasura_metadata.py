"""The double's metadata API: each call held to the arguments that Hasura v2 documents, and to the real PostgreSQL.

Written from https://hasura.io/docs/2.0/api-reference/metadata-api/ (read in November 2026), the error codes from the
same docs. The shape of the metadata is that of the npm packages hasura-metadata-types 2.43.0 (tables, relationships,
permissions) and @hasura/metadata 1.0.2 (event triggers), said again as the JSON Schema TABLE.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import jsonschema

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import psycopg

_TEXT: Final = {"type": "string", "minLength": 1}
_QUALIFIED: Final = {
    "type": "object",
    "required": ["schema", "name"],
    "properties": {"schema": _TEXT, "name": _TEXT},
    "additionalProperties": False,
}
_COLUMNS: Final = {"anyOf": [{"const": "*"}, {"type": "array", "items": _TEXT}]}
_ROWS: Final = {"type": "object"}


def _object(required: list[str], **properties: object) -> dict[str, Any]:
    return {"type": "object", "required": required, "properties": properties, "additionalProperties": False}


_MANUAL: Final = _object(
    ["remote_table", "column_mapping"],
    remote_table=_QUALIFIED,
    column_mapping={"type": "object", "additionalProperties": _TEXT, "minProperties": 1},
    insertion_order={"enum": ["before_parent", "after_parent", None]},
)
_KEYED: Final = {"anyOf": [_TEXT, {"type": "array", "items": _TEXT}, {"type": "object"}]}
_USING: Final = {
    "anyOf": [
        _object(["manual_configuration"], manual_configuration=_MANUAL),
        _object(["foreign_key_constraint_on"], foreign_key_constraint_on=_KEYED),
    ]
}
RELATIONSHIP: Final = _object(["name", "using"], name=_TEXT, using=_USING, comment={"type": ["string", "null"]})
_SELECT: Final = _object(
    ["columns", "filter"],
    columns=_COLUMNS,
    filter=_ROWS,
    computed_fields={"type": "array"},
    limit={"type": "integer", "minimum": 0},
    allow_aggregations={"type": "boolean"},
    query_root_fields={"type": ["array", "null"]},
    subscription_root_fields={"type": ["array", "null"]},
)
_UPDATE: Final = _object(
    ["columns", "filter"],
    columns=_COLUMNS,
    filter=_ROWS,
    check={"type": ["object", "null"]},
    set={"type": "object"},
    backend_only={"type": "boolean"},
)


def _permission(definition: dict[str, Any]) -> dict[str, Any]:
    return _object(["role", "permission"], role=_TEXT, permission=definition, comment={"type": ["string", "null"]})


_SPEC: Final = _object(["columns"], columns=_COLUMNS, payload=_COLUMNS)
_HEADER: Final = {
    "anyOf": [
        _object(["name", "value"], name=_TEXT, value={"type": "string"}),
        _object(["name", "value_from_env"], name=_TEXT, value_from_env=_TEXT),
    ]
}
_RETRY: Final = _object(
    [],
    num_retries={"type": "integer", "minimum": 0},
    interval_sec={"type": "integer", "minimum": 1},
    timeout_sec={"type": "integer", "minimum": 1},
)
# Hasura: letters, digits, `_` and `-`, at most 42, since names of SQL functions are made of it.
_TRIGGER_NAME: Final = {"type": "string", "pattern": "^[A-Za-z]+[A-Za-z0-9_-]*$", "maxLength": 42}
_DEFINITION: Final = _object(
    ["enable_manual"], enable_manual={"type": "boolean"}, insert=_SPEC, update=_SPEC, delete=_SPEC
)
EVENT_TRIGGER: Final = _object(
    ["name", "definition", "retry_conf"],
    name=_TRIGGER_NAME,
    definition=_DEFINITION,
    retry_conf=_RETRY,
    webhook=_TEXT,
    webhook_from_env=_TEXT,
    headers={"type": "array", "items": _HEADER},
)
TABLE: Final = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    **_object(
        ["table"],
        table=_QUALIFIED,
        is_enum={"type": "boolean"},
        configuration={"type": "object"},
        object_relationships={"type": "array", "items": RELATIONSHIP},
        array_relationships={"type": "array", "items": RELATIONSHIP},
        select_permissions={"type": "array", "items": _permission(_SELECT)},
        update_permissions={"type": "array", "items": _permission(_UPDATE)},
        event_triggers={"type": "array", "items": EVENT_TRIGGER},
    ),
}
"""What one entry of `tables` in the metadata (version 3) may hold, as far as this double knows it."""

_IN: Final = {"source": _TEXT, "table": _QUALIFIED}


def _args(required: list[str], **properties: object) -> dict[str, Any]:
    return _object(["table", *required], **_IN, **properties)


_ARGS: Final[dict[str, dict[str, Any]]] = {
    "pg_track_table": _args([], configuration={"type": "object"}),
    "pg_untrack_table": _args([], cascade={"type": "boolean"}),
    "pg_create_object_relationship": _args(["name", "using"], **RELATIONSHIP["properties"]),
    "pg_create_array_relationship": _args(["name", "using"], **RELATIONSHIP["properties"]),
    "pg_drop_relationship": _args(["relationship"], relationship=_TEXT, cascade={"type": "boolean"}),
    "pg_create_select_permission": _args(["role", "permission"], **_permission(_SELECT)["properties"]),
    "pg_create_update_permission": _args(["role", "permission"], **_permission(_UPDATE)["properties"]),
    "pg_drop_select_permission": _args(["role"], role=_TEXT),
    "pg_drop_update_permission": _args(["role"], role=_TEXT),
    "pg_create_event_trigger": _args(
        ["name"],
        replace={"type": "boolean"},
        **{key: value for key, value in EVENT_TRIGGER["properties"].items() if key != "definition"},
        **_DEFINITION["properties"],
    ),
    "pg_delete_event_trigger": _object(["name"], source=_TEXT, name=_TRIGGER_NAME),
}
_RELATIONSHIPS: Final = ("object_relationships", "array_relationships")
_OPS: Final = ("insert", "update", "delete")


class Refused(Exception):
    """A call that Hasura answers with 400 (or ``status``) and ``{path, error, code}``."""

    def __init__(self, code: str, error: str, path: str = "$.args", status: int = 400) -> None:
        super().__init__(error)
        self.status, self.content = status, {"path": path, "error": error, "code": code}


class Metadata:
    """One source, `default`, over a real database; ``hear`` is told when its event triggers change."""

    def __init__(self, connect: Callable[[], psycopg.Connection[Any]], hear: Callable[[], None]) -> None:
        self._connect, self._hear = connect, hear
        self.version = 1
        self.tables: list[dict[str, Any]] = []

    def whole(self) -> dict[str, Any]:
        """The metadata as `export_metadata` has it."""
        source = {
            "name": "default",
            "kind": "postgres",
            "tables": self.tables,
            "configuration": {"connection_info": {"database_url": {"from_env": "HASURA_GRAPHQL_DATABASE_URL"}}},
        }
        return {"version": 3, "sources": [source]}

    def run(self, call: Mapping[str, Any]) -> object:
        """The answer to one request. Raises Refused."""
        kind, args = call.get("type"), call.get("args")
        expected = call.get("resource_version")
        if expected is not None and expected != self.version:
            words = f"metadata resource version referenced ({expected}) did not match current version"
            raise Refused("conflict", words, "$", 409)
        if kind == "export_metadata":
            whole = self.whole()
            return {"resource_version": self.version, "metadata": whole} if call.get("version") == 2 else whole
        if kind == "get_inconsistent_metadata":
            missing = [table for table in self.tables if not self._columns(table["table"])]
            found = [
                {"type": "table", "name": _name(t["table"]), "reason": "no such table/view exists"} for t in missing
            ]
            return {"is_consistent": not found, "inconsistent_objects": found}
        before = [_copy(table) for table in self.tables]
        try:
            if kind == "bulk":
                if not isinstance(args, list):
                    raise Refused("parse-failed", "parsing [] failed, expected Array", "$.args")
                answers: object = [self._one(each, f"$.args[{number}].args") for number, each in enumerate(args)]
            else:
                answers = self._one(call, "$.args")
        except Refused:
            self.tables = before
            raise
        self.version += 1
        self._hear()
        return answers

    def _one(self, call: Mapping[str, Any], path: str) -> object:
        kind, args = str(call.get("type")), call.get("args")
        if kind not in _ARGS:
            raise Refused("parse-failed", f"unknown metadata command {kind}", "$.type")
        try:
            jsonschema.validate(args, _ARGS[kind])
        except jsonschema.ValidationError as error:
            raise Refused("parse-failed", error.message, path) from None
        given: dict[str, Any] = dict(args or {})
        if given.get("source", "default") != "default":
            raise Refused("not-exists", f'source with name "{given["source"]}" does not exist', path)
        getattr(self, "_" + kind.removeprefix("pg_"))(given, path)
        return {"message": "success"}

    def _track_table(self, args: dict[str, Any], path: str) -> None:
        if any(table["table"] == args["table"] for table in self.tables):
            raise Refused("already-tracked", f'view/table already tracked: "{_name(args["table"])}"', path)
        if not self._columns(args["table"]):
            raise Refused("not-exists", f'no such table/view exists in source: "{_name(args["table"])}"', path)
        self.tables.append({"table": args["table"]})

    def _untrack_table(self, args: dict[str, Any], path: str) -> None:
        self.tables.remove(self._tracked(args["table"], path))

    def _create_object_relationship(self, args: dict[str, Any], path: str) -> None:
        self._relate("object_relationships", args, path)

    def _create_array_relationship(self, args: dict[str, Any], path: str) -> None:
        self._relate("array_relationships", args, path)

    def _relate(self, kind: str, args: dict[str, Any], path: str) -> None:
        entry = self._tracked(args["table"], path)
        columns = self._columns(args["table"])
        names = {each["name"] for name in _RELATIONSHIPS for each in entry.get(name, ())}
        if args["name"] in names | set(columns):
            what = f'field with name "{args["name"]}" already exists in table "{_name(args["table"])}"'
            raise Refused("already-exists", what, path)
        manual = args["using"].get("manual_configuration")
        if manual:
            remote = self._tracked(manual["remote_table"], path)
            self._know(columns, manual["column_mapping"], path)
            self._know(self._columns(remote["table"]), manual["column_mapping"].values(), path)
        entry.setdefault(kind, []).append({"name": args["name"], "using": args["using"]})

    def _drop_relationship(self, args: dict[str, Any], path: str) -> None:
        entry = self._tracked(args["table"], path)
        for kind in _RELATIONSHIPS:
            for each in entry.get(kind, []):
                if each["name"] == args["relationship"]:
                    entry[kind].remove(each)
                    return
        raise Refused("not-exists", f'relationship "{args["relationship"]}" does not exist', path)

    def _create_select_permission(self, args: dict[str, Any], path: str) -> None:
        self._permit("select_permissions", args, path)

    def _create_update_permission(self, args: dict[str, Any], path: str) -> None:
        self._permit("update_permissions", args, path)

    def _permit(self, kind: str, args: dict[str, Any], path: str) -> None:
        entry, columns = self._tracked(args["table"], path), self._columns(args["table"])
        if any(each["role"] == args["role"] for each in entry.get(kind, ())):
            raise Refused("already-exists", f'permission already defined on table for role "{args["role"]}"', path)
        named = args["permission"]["columns"]
        self._know(columns, [] if named == "*" else named, path)
        self._know(columns, [key for key in args["permission"]["filter"] if not key.startswith(("_", "$"))], path)
        entry.setdefault(kind, []).append({"role": args["role"], "permission": args["permission"]})

    def _drop_select_permission(self, args: dict[str, Any], path: str) -> None:
        self._forbid("select_permissions", args, path)

    def _drop_update_permission(self, args: dict[str, Any], path: str) -> None:
        self._forbid("update_permissions", args, path)

    def _forbid(self, kind: str, args: dict[str, Any], path: str) -> None:
        entry = self._tracked(args["table"], path)
        kept = [each for each in entry.get(kind, ()) if each["role"] != args["role"]]
        if len(kept) == len(entry.get(kind, ())):
            raise Refused("permission-denied", f'permission for role "{args["role"]}" does not exist', path)
        entry[kind] = kept

    def _create_event_trigger(self, args: dict[str, Any], path: str) -> None:
        entry = self._tracked(args["table"], path)
        if ("webhook" in args) == ("webhook_from_env" in args):
            raise Refused("parse-failed", "only one of webhook or webhook_from_env should be given", path)
        if not any(op in args for op in (*_OPS, "enable_manual")):
            raise Refused(
                "parse-failed", "atleast one amongst insert/update/delete/enable_manual spec must be provided", path
            )
        mine = [each for each in entry.get("event_triggers", ()) if each["name"] == args["name"]]
        everywhere = [each for table in self.tables for each in table.get("event_triggers", ())]
        if any(each["name"] == args["name"] for each in everywhere) and not (args.get("replace") and mine):
            raise Refused("already-exists", f'event trigger with name "{args["name"]}" already exists', path)
        retries = {"num_retries": 0, "interval_sec": 10, "timeout_sec": 60, **args.get("retry_conf", {})}
        operations = {op: args[op] for op in _OPS if op in args}
        trigger: dict[str, Any] = {
            "name": args["name"],
            "definition": {"enable_manual": args.get("enable_manual", False), **operations},
            "retry_conf": retries,
        }
        trigger |= {key: args[key] for key in ("webhook", "webhook_from_env", "headers") if key in args}
        others = [each for each in entry.get("event_triggers", ()) if each["name"] != args["name"]]
        entry["event_triggers"] = [*others, trigger]

    def _delete_event_trigger(self, args: dict[str, Any], path: str) -> None:
        for table in self.tables:
            for each in table.get("event_triggers", []):
                if each["name"] == args["name"]:
                    table["event_triggers"].remove(each)
                    return
        raise Refused("not-exists", f'event trigger "{args["name"]}" does not exist', path)

    def _tracked(self, table: Mapping[str, str], path: str) -> dict[str, Any]:
        for entry in self.tables:
            if entry["table"] == table:
                return entry
        raise Refused("not-exists", f'table "{_name(table)}" does not exist in source: default', path)

    def _know(self, columns: Mapping[str, str], named: Any, path: str) -> None:
        for name in named:
            if name not in columns:
                raise Refused("not-exists", f'column "{name}" does not exist', path)

    def _columns(self, table: Mapping[str, str]) -> dict[str, str]:
        return columns_of(self._connect, table)


def columns_of(connect: Callable[[], psycopg.Connection[Any]], table: Mapping[str, str]) -> dict[str, str]:
    """The columns of a table or view, each with the name of its PostgreSQL type (`int8`, `timestamptz`, `_text`)."""
    with connect() as conn:
        rows = conn.execute(
            "SELECT a.attname, t.typname FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid"
            " JOIN pg_type t ON t.oid = a.atttypid JOIN pg_namespace n ON n.oid = c.relnamespace"
            " WHERE n.nspname = %s AND c.relname = %s AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum",
            [table["schema"], table["name"]],
        ).fetchall()
    return dict(rows)


def _name(table: Mapping[str, str]) -> str:
    return table["name"] if table["schema"] == "public" else f"{table['schema']}.{table['name']}"


def _copy(table: Mapping[str, Any]) -> dict[str, Any]:
    return {key: list(value) if isinstance(value, list) else value for key, value in table.items()}
