"""What loops and the ledger want of a Hasura: tracked relations, relationships, permissions and event triggers.

A wanted table is an entry of Hasura's metadata (version 3), with nothing in it but what is ours.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from skene_airflow.loop.schema import DatabaseTrigger

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from skene_airflow.loop.schema import Loop

Table = dict[str, Any]

PREFIX: Final = "skene_"
"""How our event triggers are named; none of this name without a loop stays."""
SECRET_HEADER: Final = "X-Skene-Secret"  # noqa: S105 - the name of a header
SECRET_VARIABLE: Final = "SKENE_WEBHOOK_SECRET"  # noqa: S105 - the name of a variable
"""The environment variable of Hasura that holds the secret of the webhook."""
PEOPLE: Final = "people_v"
"""Our view of the people: their key as it is, and as the text that the ledger knows them by."""
USER_ID: Final = "X-Hasura-User-Id"

_LONGEST_NAME: Final = 42
_OPS: Final = ("insert", "update", "delete")
# Six hours of an endpoint that is down: what Hasura gives up is gone.
_RETRIES: Final = {"num_retries": 360, "interval_sec": 60, "timeout_sec": 60}
_OURS: Final[dict[str, tuple[str, ...]]] = {
    "inbox": ("id", "user_key", "loop_id", "step_id", "title", "body", "link", "created_at", "read_at"),
    "deliveries_v": (
        "loop_id", "step_id", "user_key", "entry_key", "segment", "variant", "status", "queued_at", "sent_at",
        "delivered_at", "opened_at", "clicked_at",
    ),
    "decisions_v": ("loop_id", "step_id", "as_of", "user_key", "entry_key", "verdict", "reason", "segment", "variant"),
}  # fmt: skip
"""What a person may read of the relations that have people in them."""
_COUNTS: Final[dict[str, tuple[str, ...]]] = {
    "runs_v": (
        "loop_id", "step_id", "run_id", "mode", "as_of", "candidates", "duplicate_rows", "verdicts", "statuses",
        "started_at", "finished_at",
    ),
    "funnel_v": (
        "loop_id", "step_id", "segment", "variant", "day", "candidates", "held_out", "skipped", "sent", "delivered",
        "clicked", "converted",
    ),
    "adoption_v": ("feature", "week", "eligible", "adopted", "reached_by"),
}  # fmt: skip
"""Views without people."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What a deployment wants: which loops, where events are posted, and who may read.

    ``role`` reads its own rows, by the session variable ``X-Hasura-User-Id``; ``staff``, if it is set, reads every
    row. ``schema`` is the ledger's; ``relations`` are those of ours that the ledger has.
    """

    loops: Sequence[Loop]
    schema: str = "skene"
    role: str = "user"
    staff: str = ""
    relations: frozenset[str] = frozenset((*_OURS, *_COUNTS))
    webhook: str = ""
    """Where Hasura posts the rows that changed."""
    events_only: bool = False
    """Nothing but event triggers: the ledger is in a database that Hasura does not have."""


def watched(loops: Iterable[Loop]) -> dict[tuple[str, str], list[str]]:
    """The tables whose changes start loops, by schema and name, each with its kinds of change in a fixed order."""
    found: dict[tuple[str, str], set[str]] = {}
    for loop in loops:
        for step in loop.steps:
            if isinstance(step.trigger, DatabaseTrigger):
                found.setdefault(qualified(step.trigger.table), set()).update(step.trigger.event)
    return {table: [op for op in _OPS if op in ops] for table, ops in sorted(found.items())}


def people(loops: Iterable[Loop]) -> tuple[tuple[str, str], str]:
    """The table of people that most loops name, by schema and name, and its key column."""
    counted = Counter((loop.user.table, loop.user.key) for loop in loops)
    table, key = min(counted, key=lambda pair: (-counted[pair], pair)) if counted else ("users", "id")
    return qualified(table), key


def qualified(table: str) -> tuple[str, str]:
    """A table of a loop as (schema, name), folded as PostgreSQL does."""
    schema, _, name = table.lower().rpartition(".")
    return schema or "public", name


def trigger_name(table: tuple[str, str]) -> str:
    """The name of our event trigger on a table; Hasura takes at most 42 letters, digits, `_` and `-`."""
    plain = re.sub(r"[^A-Za-z0-9_]", "_", "_".join(part for part in table if part != "public"))
    name = f"{PREFIX}{plain}"
    if len(name) <= _LONGEST_NAME and plain == "_".join(part for part in table if part != "public"):
        return name
    digest = hashlib.sha256(".".join(table).encode()).hexdigest()[:8]
    return f"{name[: _LONGEST_NAME - 9]}_{digest}"


def wanted(wish: Wish) -> list[Table]:
    """Every table with what is wanted of it, in a fixed order."""
    if wish.events_only:
        return [_watched(wish, table, ops) for table, ops in watched(wish.loops).items()]
    who, key = people(wish.loops)
    entries = [_ours(wish, name, columns) for name, columns in _OURS.items() if name in wish.relations]
    entries += [_counts(wish, name, columns) for name, columns in _COUNTS.items() if name in wish.relations]
    entries.append(_people(wish, who, key))
    app = {table: _watched(wish, table, ops) for table, ops in watched(wish.loops).items()}
    shown = app.setdefault(who, {"table": _table(who)})
    shown["object_relationships"] = [_manual("skene", (wish.schema, PEOPLE), {key: key})]
    return [*entries, *(app[table] for table in sorted(app))]


def _table(table: tuple[str, str]) -> dict[str, str]:
    return {"schema": table[0], "name": table[1]}


def _manual(name: str, table: tuple[str, str], columns: dict[str, str]) -> dict[str, Any]:
    return {
        "name": name,
        "using": {"manual_configuration": {"remote_table": _table(table), "column_mapping": columns}},
    }


def _select(role: str, columns: Sequence[str], filter_: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"role": role, "permission": {"columns": sorted(columns), "filter": filter_, **more}}


def _own() -> dict[str, Any]:
    return {"user_key": {"_eq": USER_ID}}


def _readers(wish: Wish, columns: Sequence[str]) -> list[dict[str, Any]]:
    found = [_select(wish.role, columns, _own())]
    if wish.staff:
        found.append(_select(wish.staff, columns, {}, allow_aggregations=True))
    return found


def _ours(wish: Wish, name: str, columns: tuple[str, ...]) -> Table:
    entry: Table = {
        "table": _table((wish.schema, name)),
        "object_relationships": [_manual("person", (wish.schema, PEOPLE), {"user_key": "user_key"})],
        "select_permissions": _readers(wish, columns),
    }
    if name == "inbox":
        mine = {"columns": ["read_at"], "filter": _own(), "check": _own()}
        entry["update_permissions"] = [{"role": wish.role, "permission": mine}]
    return entry


def _counts(wish: Wish, name: str, columns: tuple[str, ...]) -> Table:
    entry: Table = {"table": _table((wish.schema, name))}
    if wish.staff:
        entry["select_permissions"] = [_select(wish.staff, columns, {}, allow_aggregations=True)]
    return entry


def _people(wish: Wish, who: tuple[str, str], key: str) -> Table:
    """Between the ledger's text keys and the app's own: a bigint or uuid cannot be compared with a text by itself."""
    rows = [
        _manual(name, (wish.schema, relation), {"user_key": "user_key"})
        for name, relation in (("decisions", "decisions_v"), ("deliveries", "deliveries_v"), ("inbox", "inbox"))
        if relation in wish.relations
    ]
    return {
        "table": _table((wish.schema, PEOPLE)),
        "object_relationships": [_manual("user", who, {key: key})],
        "array_relationships": rows,
        "select_permissions": _readers(wish, sorted({key, "user_key"})),
    }


def _watched(wish: Wish, table: tuple[str, str], ops: Sequence[str]) -> Table:
    """An event trigger as metadata has it; every column is in the payload, since conditions may read any."""
    trigger = {
        "name": trigger_name(table),
        "definition": {"enable_manual": False, **{op: {"columns": "*"} for op in ops}},
        "retry_conf": dict(_RETRIES),
        "webhook": wish.webhook,
        "headers": [{"name": SECRET_HEADER, "value_from_env": SECRET_VARIABLE}],
    }
    return {"table": _table(table), "event_triggers": [trigger]}
