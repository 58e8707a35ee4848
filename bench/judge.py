"""How long it takes to judge an audience through all gates, against the bare staging of the same rows.

``python -m bench.judge [PEOPLE]`` (1,000,000 unless said) makes people in a database of its own, stages them bare
(the query's columns that a mail needs, and nothing else), evaluates and judges a loop that asks every gate, and says
what each took.
"""

from __future__ import annotations

import sys
import tempfile
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from bench.world import database
from skene_airflow.audience.condition import Question, asking, bare, stream
from skene_airflow.ledger import Ledger
from skene_airflow.loop.load import load_loop
from skene_airflow.loop.schema import Loop
from skene_airflow.settings import Settings
from skene_airflow.stages.evaluate import evaluate
from skene_airflow.stages.job import Job, RunFacts
from skene_airflow.stages.segment import segment

LOOP = """\
type: adoption
opinion: Every gate is asked
steps:
  - trigger: {type: manual}
    condition:
      type: query
      timeout: 1h
      query: "SELECT id, email, name, last_activity_at, timezone, locale, opted_in FROM users"
    segments:
      - {name: recent, when: "last_activity_at > :as_of - interval '7 days'", action: {subject: "Hi {{ name }}"}}
      - {name: everyone}
    action:
      type: email
      template: hello
      personalization: {name: "{{ user.name }}"}
      variants: {plain: {}, other: {subject: "You, {{ name }}?"}}
entry: {per: [last_activity_at], every: 60d, existing: include}
exit: SELECT id FROM gone
consent: opted_in
sample: 95%
holdout: 5%
frequency_cap: 2/7d
quiet_hours: {from: "23:00", to: "06:00"}
"""
PEOPLE = """
CREATE TABLE users AS
SELECT i AS id, 'user' || i || '@example.com' AS email, 'User ' || i AS name,
       now() - i % 1000 * interval '1 hour' AS last_activity_at, i % 20 <> 0 AS opted_in,
       (ARRAY['Europe/Berlin', 'America/New_York', 'Asia/Kolkata', 'Australia/Lord_Howe', NULL])[1 + i % 5] AS timezone,
       'de'::text AS locale
FROM generate_series(1, {people}::bigint) i;
"""
BARE = "SELECT row_number() OVER () AS n, id::text, ''::text AS entry, email, timezone, locale, name FROM users"
HISTORY = """
INSERT INTO skene.suppressions (user_key, scope, reason, source)
SELECT id::text, 'marketing', 'unsubscribed', 'bench' FROM users WHERE id % 50 = 0;
"""


def page(people: int) -> str:
    """Measure once, and describe it."""
    with tempfile.TemporaryDirectory() as folder, database() as uri:
        with psycopg.connect(uri, autocommit=True) as conn:
            conn.execute(sql.SQL(PEOPLE).format(people=people))
            conn.execute("CREATE TABLE gone AS SELECT id FROM users WHERE id % 100 = 7")
            conn.execute("VACUUM ANALYZE")
        found = measure(uri, Path(folder))
    bare = found[0][1]
    rows = [f"| {name} | {seconds:.1f} | {seconds / bare:.1f} |" for name, seconds in found]
    return "\n".join(
        [
            f"## Judging {people:,} candidates through every gate",
            "",
            "Asked of judging: at most 60 seconds, and at most 3 × the bare staging.",
            "",
            "| | seconds | × bare staging |",
            "|---|---:|---:|",
            *rows,
        ]
    )


def measure(uri: str, loops: Path) -> list[tuple[str, float]]:
    """What each part took, in seconds."""
    with closing(Ledger(lambda: psycopg.connect(uri))) as ledger:
        ledger.migrate()
        with psycopg.connect(uri) as conn:
            conn.execute(HISTORY)
        jobs = [job(uri, ledger, loops, run_id) for run_id in ("first", "second")]
        found = [("bare staging", timed(bare_staging, uri))]
        for each in jobs:
            run = each.run.run_id
            found.append((f"evaluate: query and facts, {run} run", timed(evaluate, each)))
            found.append((f"segment (shadow): every gate, {run} run", timed(segment, each, None)))
    return found


def timed(what: Any, *args: Any) -> float:
    """How long a call takes, in seconds."""
    begin = time.perf_counter()
    what(*args)
    return time.perf_counter() - begin


def job(uri: str, ledger: Ledger, loops: Path, run_id: str) -> Job:
    """A shadow run of the loop."""
    (loops / "templates").mkdir(parents=True, exist_ok=True)
    (loops / "templates" / "hello.html").write_text("---\nsubject: Hello\n---\n<p>{{ name }}</p>", encoding="utf-8")
    (loops / "everything.yaml").write_text(LOOP, encoding="utf-8")
    loop = load_loop(loops / "everything.yaml")
    if not isinstance(loop, Loop):
        raise loop
    facts = RunFacts(run_id, "manual", datetime.now(UTC))
    return Job(loop, loop.steps[0], facts, Settings(), lambda: psycopg.connect(uri), ledger)


def bare_staging(uri: str) -> None:
    """The rows piped from one connection into a plain table over another, and analyzed."""
    question = Question(BARE, datetime.now(UTC), "UTC", timedelta(hours=1))
    with psycopg.connect(uri) as source, psycopg.connect(uri) as target:
        target.execute(
            "CREATE TABLE bare (n bigint, id text, entry text, email text, timezone text, locale text, name text)"
        )
        with asking(source, question), target.cursor() as cur, cur.copy("COPY bare FROM STDIN") as rows:
            for block in stream(source, bare(source, question), question):
                rows.write(block)
        target.execute("ANALYZE bare")


if __name__ == "__main__":
    print(page(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000))
