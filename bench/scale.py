"""One run over very many people: what staging costs beside a bare INSERT, memory, tasks, and what is left behind."""

from __future__ import annotations

import statistics
import time
from typing import TYPE_CHECKING

import psycopg

from bench import metadata, world
from bench.measure import measure

if TYPE_CHECKING:
    from pathlib import Path

# The very rows that staging makes, put into the same table by one statement in the database.
_BARE = """
INSERT INTO bare (n, user_key, entry_key, address, timezone, locale, vars)
SELECT row_number() OVER (), q.id::text, '', q.email, q.timezone, q.locale,
       (SELECT to_jsonb(v) FROM (SELECT q.last_activity_at, q.name, q.orders, q.picks, q.plan, q.spent_usd) AS v)
FROM ({query}) AS q
"""
_METADATA_PEOPLE = 20_000
_DEAD = """
SELECT relname, n_live_tup, n_dead_tup, autovacuum_count, n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables
WHERE schemaname = 'skene' AND relname IN ('deliveries', 'batches') ORDER BY relname
"""


def page(uri: str, folder: Path, people: int, patience: float, *, airflow: bool) -> str:
    """Run it, and describe it; with ``airflow`` also what a run leaves in Airflow's own database."""
    template = world.TEMPLATES / "digest.html"
    with world.sink(0) as sink:
        place = world.Place(uri, sink, str(world.write_loop(folder, template)), str(template))
        bare = _bare(uri)
        evaluated, judged = measure(place, "evaluate"), measure(place, "segment")
        sent = measure(place, "send", 2)
        accepted = place.accepted()
    growth = max(part.peak_mb - part.idle_mb for part in (evaluated, judged, sent))
    rows = [
        f"## One run over {people:,} people, template `digest`, provider answers after 0 ms",
        "",
        "| | measured | asked |",
        "|---|---:|---:|",
        f"| bare `INSERT … SELECT` of the same rows, seconds (median of 2) | {bare:.1f} | |",
        f"| staging (`evaluate`), seconds | {evaluated.seconds:.1f} | |",
        f"| staging, × the bare insert | {evaluated.seconds / bare:.2f} | ≤ 2 |",
        f"| judging and claiming (`segment`), seconds | {judged.seconds:.1f} | |",
        f"| sending, 2 shards, mails/s | {sent.number / sent.seconds:,.0f} | |",
        f"| the whole run, mails/s | {people / (evaluated.seconds + judged.seconds + sent.seconds):,.0f} | |",
        f"| taken by the provider | {accepted:,} | {people:,} |",
        f"| mapped tasks | {judged.number} | ≤ 16 |",
        f"| memory over idle in any process, MB | {growth:.0f} | ≤ 200 |",
        *([_metadata(min(people, _METADATA_PEOPLE))] if airflow else []),
        *_left(uri, patience),
    ]
    return "\n".join(rows)


def _metadata(people: int) -> str:
    megabytes, _ = metadata.growth(people)
    return f"| growth of Airflow's database by a run over {people:,} people, MB | {megabytes:.2f} | < 1 |"


def _bare(uri: str) -> float:
    seconds = []
    with psycopg.connect(uri, autocommit=True) as conn:
        for _ in range(2):
            conn.execute("DROP TABLE IF EXISTS bare")
            conn.execute(
                "CREATE TABLE bare (n bigint, user_key text, entry_key text, address text, timezone text, locale text,"
                " vars jsonb)"
            )
            conn.execute("CHECKPOINT")
            began = time.perf_counter()
            conn.execute(_BARE.format(query=world.QUERY))
            seconds.append(time.perf_counter() - began)
        conn.execute("DROP TABLE bare")
        conn.execute("CHECKPOINT")
    return statistics.median(seconds)


def _left(uri: str, patience: float) -> list[str]:
    """Dead rows once autovacuum has been there, or after ``patience`` seconds if it never comes."""
    until = time.monotonic() + patience
    with psycopg.connect(uri, autocommit=True) as conn:
        while True:
            found = conn.execute(_DEAD)
            tables = found.fetchall()
            if all(row[2] < 0.2 * row[1] for row in tables) or time.monotonic() > until:
                break
            time.sleep(2)
    return [
        f"| dead rows of the live in `{name}`, autovacuum came {count} times | {dead / max(live, 1):.1%} | < 20 % |"
        for name, live, dead, count, _, _ in tables
    ] + [f"| updates of `{row[0]}` that touched no index | {row[5] / max(row[4], 1):.0%} | |" for row in tables]
