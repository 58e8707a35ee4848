"""The double's event triggers: real row triggers write a log in the database, and its rows are posted to webhooks.

As Hasura's are (https://hasura.io/docs/2.0/event-triggers/payload/, read in November 2026): at least once, in no
promised order, again after the trigger's interval where the webhook does not answer 2xx.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import httpx
import psycopg
from psycopg import sql

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

_LOG: Final = """
CREATE SCHEMA IF NOT EXISTS hdb_catalog;
CREATE TABLE IF NOT EXISTS hdb_catalog.event_log (
    id text PRIMARY KEY DEFAULT gen_random_uuid()::text,
    schema_name text NOT NULL,
    table_name text NOT NULL,
    trigger_name text NOT NULL,
    payload jsonb NOT NULL,
    delivered boolean NOT NULL DEFAULT false,
    error boolean NOT NULL DEFAULT false,
    tries integer NOT NULL DEFAULT 0,
    created_at timestamp NOT NULL DEFAULT now()
);
CREATE OR REPLACE FUNCTION hdb_catalog.note() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO hdb_catalog.event_log (schema_name, table_name, trigger_name, payload)
    VALUES (TG_TABLE_SCHEMA, TG_TABLE_NAME, TG_ARGV[0], jsonb_build_object(
        'op', TG_OP, 'session_variables', jsonb_build_object('x-hasura-role', 'admin'), 'trace_context', NULL,
        'data', jsonb_build_object('old', CASE WHEN TG_OP = 'INSERT' THEN NULL ELSE to_jsonb(OLD) END,
                                   'new', CASE WHEN TG_OP = 'DELETE' THEN NULL ELSE to_jsonb(NEW) END)));
    RETURN NULL;
END $$;
"""
_TRIGGER: Final = (
    "CREATE TRIGGER {name} AFTER {op} ON {table} FOR EACH ROW {when} EXECUTE FUNCTION hdb_catalog.note({trigger})"
)
_TAKE: Final = "SELECT * FROM hdb_catalog.event_log WHERE NOT delivered AND NOT error ORDER BY created_at, id LIMIT %s"
_OPS: Final = ("insert", "update", "delete")


@dataclass(frozen=True, slots=True)
class Posted:
    """One call of a webhook, and what it answered (0: nothing)."""

    trigger: str
    payload: Mapping[str, Any]
    status: int


class Events:
    """The log, and its delivery. ``environment`` is what `value_from_env` of headers finds."""

    def __init__(
        self, connect: Callable[[], psycopg.Connection[Any]], environment: Mapping[str, str], tables: Callable[[], Any]
    ) -> None:
        self._connect, self._environment, self._tables = connect, environment, tables
        self.posted: list[Posted] = []

    def install(self) -> None:
        """Make the row triggers those of the metadata."""
        with self._connect() as conn:
            conn.execute(_LOG.encode())
            conn.autocommit = False
            old = conn.execute(
                "SELECT g.tgname, n.nspname, c.relname FROM pg_trigger g JOIN pg_class c ON c.oid = g.tgrelid"
                " JOIN pg_namespace n ON n.oid = c.relnamespace WHERE g.tgname LIKE 'notify_hasura_%%'"
            ).fetchall()
            for name, schema, table in old:
                drop = sql.SQL("DROP TRIGGER {} ON {}")
                conn.execute(drop.format(sql.Identifier(name), sql.Identifier(schema, table)))
            for entry, trigger in self._triggers():
                for op in _OPS:
                    if op in trigger["definition"]:
                        conn.execute(_row_trigger(entry["table"], trigger, op))
            conn.commit()

    def deliver(
        self, *, times: int = 1, order: Callable[[Sequence[Any]], Iterable[Any]] = list, most: int = 1000
    ) -> list[Posted]:
        """Post what is due, each ``times`` times (at least once is a promise of Hasura's), in the given order."""
        with self._connect() as conn:
            cur = conn.execute(_TAKE, [most])
            names = [column.name for column in cur.description or ()]
            rows = [dict(zip(names, row, strict=True)) for row in cur.fetchall()]
        triggers = {trigger["name"]: trigger for _, trigger in self._triggers()}
        done: list[Posted] = []
        with httpx.Client(timeout=30.0) as http:
            for row in order([row for row in rows for _ in range(times)]):
                trigger = triggers.get(row["trigger_name"])
                if trigger is not None:
                    done.append(self._post(http, trigger, row))
        self.posted += done
        return done

    def _post(self, http: httpx.Client, trigger: Mapping[str, Any], row: Mapping[str, Any]) -> Posted:
        retries = trigger["retry_conf"]["num_retries"]
        payload = {
            "id": row["id"],
            "created_at": row["created_at"].isoformat(),
            "table": {"schema": row["schema_name"], "name": row["table_name"]},
            "trigger": {"name": row["trigger_name"]},
            "event": row["payload"],
            "delivery_info": {"current_retry": row["tries"], "max_retries": retries},
        }
        try:
            answer = http.post(
                self._webhook(trigger), content=json.dumps(payload).encode(), headers=self._headers(trigger)
            )
            status = answer.status_code
        except httpx.HTTPError:
            status = 0
        taken = 200 <= status < 300
        with self._connect() as conn:
            conn.execute(
                "UPDATE hdb_catalog.event_log SET tries = tries + 1, delivered = delivered OR %s,"
                " error = NOT (delivered OR %s) AND tries + 1 > %s WHERE id = %s",
                [taken, taken, retries, row["id"]],
            )
        return Posted(row["trigger_name"], payload, status)

    def _webhook(self, trigger: Mapping[str, Any]) -> str:
        url = trigger.get("webhook") or self._environment.get(trigger.get("webhook_from_env", ""), "")
        return re.sub(r"\{\{\s*(\w+)\s*\}\}", lambda found: self._environment.get(found[1], ""), url)

    def _headers(self, trigger: Mapping[str, Any]) -> dict[str, str]:
        found = {"Content-Type": "application/json"}
        for header in trigger.get("headers", ()):
            found[header["name"]] = header.get("value", self._environment.get(header.get("value_from_env", ""), ""))
        return found

    def _triggers(self) -> list[tuple[dict[str, Any], dict[str, Any]]]:
        return [(table, trigger) for table in self._tables() for trigger in table.get("event_triggers", ())]


def _row_trigger(table: Mapping[str, str], trigger: Mapping[str, Any], op: str) -> sql.Composed:
    when = ""
    columns = trigger["definition"][op]["columns"]
    if op == "update":
        # Hasura notes an update only if one of the columns that it listens to is another than before.
        when = "WHEN (OLD IS DISTINCT FROM NEW)"
        if columns != "*":
            pairs = sql.SQL(" OR ").join(
                sql.SQL("OLD.{0} IS DISTINCT FROM NEW.{0}").format(sql.Identifier(name)) for name in columns
            )
            when = "WHEN (" + pairs.as_string(None) + ")"
    return sql.SQL(_TRIGGER).format(
        name=sql.Identifier(f"notify_hasura_{trigger['name']}_{op.upper()}"),
        op=sql.SQL(op.upper()),
        table=sql.Identifier(table["schema"], table["name"]),
        when=sql.SQL(when),
        trigger=sql.Literal(trigger["name"]),
    )
