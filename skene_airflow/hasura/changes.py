"""The difference between the metadata that is there and what is wanted, as calls of the metadata API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from skene_airflow.hasura.wanted import PREFIX

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from skene_airflow.hasura.wanted import Table

Call = dict[str, Any]

_RELATIONSHIPS: Final = {"object_relationships": "object", "array_relationships": "array"}
_PERMISSIONS: Final = {"select_permissions": "select", "update_permissions": "update"}
# What Hasura fills in or leaves out when it exports: no difference.
_ABSENT: Final[dict[str, Any]] = {"comment": None, "enable_manual": False, "allow_aggregations": False}


def changes(metadata: Mapping[str, Any], wanted: Sequence[Table], source: str = "default") -> list[Call]:
    """The calls that make what is there into what is wanted; none if nothing is missing. Order matters.

    Tables are tracked before anything names them. What is not ours is left alone. Raises LookupError if there is no
    ``source`` of that name.
    """
    there = {_key(table): table for table in tables_of(metadata, source)}
    calls: list[Call] = []
    calls += [_call("track_table", source, table["table"]) for table in wanted if _key(table) not in there]
    for table in wanted:
        calls += _relationships(there.get(_key(table), {}), table, source)
    for table in wanted:
        calls += _permissions(there.get(_key(table), {}), table, source)
        calls += _triggers(there.get(_key(table), {}), table, source)
    named = {trigger["name"] for table in wanted for trigger in table.get("event_triggers", ())}
    for table in there.values():
        for trigger in table.get("event_triggers", ()):
            if trigger["name"].startswith(PREFIX) and trigger["name"] not in named:
                calls.append({"type": "pg_delete_event_trigger", "args": {"name": trigger["name"], "source": source}})
    return calls


def tables_of(metadata: Mapping[str, Any], source: str) -> list[Table]:
    """The tables of one source. Raises LookupError."""
    for each in metadata.get("sources", ()):
        if each.get("name") == source:
            return list(each.get("tables", ()))
    known = ", ".join(str(each.get("name")) for each in metadata.get("sources", ())) or "none"
    raise LookupError(known)


def words(call: Call) -> str:
    """A call on one line, for a person."""
    kind, args = call["type"].removeprefix("pg_").replace("_", " "), call["args"]
    table = args.get("table")
    where = f" {table['schema']}.{table['name']}" if isinstance(table, dict) else ""
    what = args.get("name") or args.get("relationship") or args.get("role")
    return f"{kind}{where}{f' {what}' if what else ''}"


def _key(table: Mapping[str, Any]) -> tuple[str, str]:
    name = table["table"]
    return (name["schema"], name["name"]) if isinstance(name, dict) else ("public", str(name))


def _call(kind: str, source: str, table: Mapping[str, str], **args: Any) -> Call:
    return {"type": f"pg_{kind}", "args": {"source": source, "table": dict(table), **args}}


def _relationships(there: Mapping[str, Any], table: Table, source: str) -> Iterator[Call]:
    names = {each["name"]: (kind, each) for kind in _RELATIONSHIPS for each in there.get(kind, ())}
    for kind, word in _RELATIONSHIPS.items():
        for each in table.get(kind, ()):
            before = names.get(each["name"])
            if before is not None and (before[0], _plain(before[1])) == (kind, _plain(each)):
                continue
            if before is not None:
                yield _call("drop_relationship", source, table["table"], relationship=each["name"])
            yield _call(f"create_{word}_relationship", source, table["table"], **each)


def _permissions(there: Mapping[str, Any], table: Table, source: str) -> Iterator[Call]:
    for kind, word in _PERMISSIONS.items():
        roles = {each["role"]: each for each in there.get(kind, ())}
        for each in table.get(kind, ()):
            before = roles.get(each["role"])
            if before is not None and _plain(before) == _plain(each):
                continue
            if before is not None:
                yield _call(f"drop_{word}_permission", source, table["table"], role=each["role"])
            yield _call(f"create_{word}_permission", source, table["table"], **each)


def _triggers(there: Mapping[str, Any], table: Table, source: str) -> Iterator[Call]:
    names = {each["name"]: each for each in there.get("event_triggers", ())}
    for each in table.get("event_triggers", ()):
        before = names.get(each["name"])
        if before is not None and _plain(before) == _plain(each):
            continue
        flat = {key: value for key, value in each.items() if key != "definition"} | each["definition"]
        yield _call("create_event_trigger", source, table["table"], **flat, replace=before is not None)


def _plain(value: Any) -> Any:
    """A value of the metadata without what says nothing: one meaning, one form."""
    if isinstance(value, dict):
        return {
            key: _plain(sorted(part) if key == "columns" and isinstance(part, list) else part)
            for key, part in value.items()
            if part is not None and (key not in _ABSENT or part != _ABSENT[key])
        }
    return [_plain(part) for part in value] if isinstance(value, list) else value


def listening(metadata: Mapping[str, Any], source: str, table: tuple[str, str]) -> list[str]:
    """The event triggers that an UPDATE of any column of a table may fire."""
    try:
        tables = tables_of(metadata, source)
    except LookupError:
        return []
    return [
        trigger["name"]
        for each in tables
        if _key(each) == table
        for trigger in each.get("event_triggers", ())
        if "update" in trigger["definition"]
    ]
