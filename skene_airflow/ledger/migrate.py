"""Bring the ledger's schema up to date: append-only files, applied once each, safe when twenty try at once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from skene_airflow.ledger.statements import checked_schema, in_schema

if TYPE_CHECKING:
    import psycopg

# Any constant does, as long as nothing else on the database uses it: the ASCII codes of "skene".
_LOCK = 0x736B656E65


@dataclass(frozen=True, slots=True)
class Migration:
    """One file of ``migrations/``; its number is its place in the order."""

    number: int
    name: str
    sql: str


@cache
def migrations() -> tuple[Migration, ...]:
    """All migrations that ship with this version, oldest first."""
    found = sorted(p.name for p in files(__package__).joinpath("migrations").iterdir() if p.name.endswith(".sql"))
    texts = ((name, files(__package__).joinpath("migrations", name).read_text(encoding="utf-8")) for name in found)
    return tuple(Migration(int(name[:4]), name.removesuffix(".sql"), text) for name, text in texts)


def _prelude(schema: str) -> str:
    return (
        f"CREATE SCHEMA IF NOT EXISTS {schema};\n"
        f"CREATE TABLE IF NOT EXISTS {schema}.migrations (\n"
        "    number integer PRIMARY KEY, name text NOT NULL,\n"
        "    applied_at timestamptz NOT NULL DEFAULT clock_timestamp());\n"
    )


def sql(schema: str = "skene", after: int = 0) -> str:
    """What is newer than migration ``after`` as one script, for teams whose DBA applies changes by hand."""
    schema = checked_schema(schema)
    parts = ["BEGIN;", f"SELECT pg_advisory_xact_lock({_LOCK});", _prelude(schema)]
    for migration in migrations()[after:]:
        guard = f"-- {migration.name}\n{in_schema(migration.sql, schema)}"
        note = f"INSERT INTO {schema}.migrations (number, name) VALUES ({migration.number}, '{migration.name}');"
        parts.append(f"{guard}\n{note}\n")
    return "\n".join([*parts, "COMMIT;\n"])


def applied(cur: psycopg.Cursor[Any], schema: str) -> int:
    """The number of the newest migration on this database; 0 when there is no ledger."""
    # Not to_regclass: its answer may come from a cache that has not heard of whoever migrated while we waited.
    cur.execute("SELECT FROM pg_catalog.pg_tables WHERE schemaname = %s AND tablename = 'migrations'", [schema])
    if cur.fetchone() is None:
        return 0
    cur.execute(f"SELECT coalesce(max(number), 0) AS newest FROM {schema}.migrations")
    row = cur.fetchone()
    return int(row["newest"]) if row else 0


def apply(cur: psycopg.Cursor[Any], schema: str) -> list[str]:
    """Apply what is missing inside the caller's transaction; return the names applied."""
    schema = checked_schema(schema)
    cur.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
    newest = applied(cur, schema)
    missing = [m for m in migrations() if m.number > newest]
    if not newest and missing:
        cur.execute(_prelude(schema))
    for migration in missing:
        cur.execute(in_schema(migration.sql, schema))
        cur.execute(
            f"INSERT INTO {schema}.migrations (number, name) VALUES (%s, %s)", [migration.number, migration.name]
        )
    return [m.name for m in missing]
