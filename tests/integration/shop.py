"""A small shop: real users in a real PostgreSQL, the reference loop, and runs of it without Airflow."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

import psycopg
from psycopg.rows import dict_row

from skene_airflow.channels.base import Channel
from skene_airflow.ledger import Ledger
from skene_airflow.loop.load import load_loop
from skene_airflow.loop.schema import Loop
from skene_airflow.settings import Settings
from skene_airflow.stages.evaluate import evaluate
from skene_airflow.stages.job import Job, RunFacts
from skene_airflow.stages.report import RunReport, report
from skene_airflow.stages.segment import Segmented, segment
from skene_airflow.stages.send import Sender
from skene_airflow.testing import ResendServer

LOOP = """\
type: retention
opinion: Detect dormant users and trigger personalized re-engagement campaigns
steps:
  - trigger:
      type: schedule
      cron: "0 9 * * *"
    condition:
      type: query
      query: SELECT * FROM users WHERE last_activity_at < NOW() - INTERVAL '7 days' AND re_engagement_sent = false
      timeout: 10m
    action:
      type: email
      provider: resend
      template: re_engagement
      personalization:
        name: "{{user.name}}"
        lastActivity: "{{user.last_activity_at}}"
recovery:
  retries: 3
  backoff: exponential
"""
TEMPLATE = """\
---
subject: We miss you, {{ name }}
---
<p>Hi {{ name }}, we last saw you on {{ lastActivity }}.</p>
"""
USERS = """
CREATE TABLE users (id bigint PRIMARY KEY, email text, name text, last_activity_at timestamptz,
                    re_engagement_sent boolean NOT NULL DEFAULT false, timezone text, locale text)
"""
SETTINGS = Settings(
    from_email="Acme <hello@acme.example>",
    base_url="https://acme.example/skene",
    postal_address="1 Main St, Springfield",
    secret_keys=("a secret that signs links",),
)

Skene = Callable[..., tuple[int, str, str]]
"""Runs a verb of the command line: exit code, standard output, standard error."""


@dataclass
class Shop:
    """One app database, one ledger in it, one folder of loops."""

    uri: str
    folder: Path
    ledger: Ledger
    settings: Settings = SETTINGS
    numbers: Iterator[int] = field(default_factory=lambda: count(1))

    def connect(self) -> psycopg.Connection[Any]:
        """A connection to the app's database."""
        return psycopg.connect(self.uri)

    def sql(self, text: str, *params: object) -> list[dict[str, Any]]:
        """Run one statement; its rows as dicts."""
        with psycopg.connect(self.uri, row_factory=dict_row) as conn:
            cur = conn.execute(text, params or None)
            return cur.fetchall() if cur.description else []

    def dormant(self, number: int, first: int = 1) -> None:
        """Add users who were last seen a month ago."""
        self.sql(
            "INSERT INTO users SELECT i, 'user' || i || '@example.com', 'User ' || i, now() - interval '30 days',"
            " false, 'Europe/Berlin', 'de' FROM generate_series(%s::int, %s::int) i",
            first,
            first + number - 1,
        )

    def loop(self, text: str = LOOP, name: str = "re_engagement") -> Loop:
        """Write a loop file and load it."""
        path = self.folder / f"{name}.yaml"
        path.write_text(text, encoding="utf-8")
        loop = load_loop(path)
        assert isinstance(loop, Loop), str(loop)
        return loop

    def template(self, text: str = TEMPLATE, name: str = "re_engagement.html") -> None:
        """Write a template file."""
        (self.folder / "templates").mkdir(exist_ok=True)
        (self.folder / "templates" / name).write_text(text, encoding="utf-8")

    def job(
        self,
        conf: Mapping[str, object] | None = None,
        *,
        loop: Loop | None = None,
        run_type: str = "manual",
        run_id: str | None = None,
        as_of: datetime | None = None,
        settings: Settings | None = None,
    ) -> Job:
        """A run of the loop; by default a manual, live one."""
        loop = loop or self.loop()
        facts = RunFacts(
            run_id or f"run {next(self.numbers)}",
            run_type,
            as_of or datetime.now(UTC),
            {"mode": "live"} if conf is None else conf,
        )
        return Job(loop, loop.steps[0], facts, settings or self.settings, self.connect, self.ledger)

    def run(self, channel: Channel, job: Job | None = None) -> RunReport:
        """All four stages, one after the other."""
        job = job or self.job()
        evaluate(job)
        judged = segment(job, channel)
        for shard in judged.shards:
            Sender(job, shard, channel, sleep=lambda _: None).run()
        return report(job)

    def decide(self, channel: Channel, job: Job) -> Segmented:
        """The first two stages."""
        evaluate(job)
        return segment(job, channel)

    def statuses(self) -> dict[str, int]:
        """How many deliveries read as what."""
        rows = self.sql("SELECT status, count(*) AS n FROM skene.deliveries_v GROUP BY status")
        return {row["status"]: row["n"] for row in rows}


def mailed(server: ResendServer) -> Counter[str]:
    """Who was mailed how often, as the provider knows it."""
    return Counter(mail.to for mail in server.accepted)


def everybody(number: int, first: int = 1) -> Counter[str]:
    """Each of these users once."""
    return Counter(f"user{i}@example.com" for i in range(first, first + number))


def audit(shop: Shop) -> list[dict[str, Any]]:
    """Who did what to the shop's ledger by hand, oldest first."""
    return shop.sql("SELECT actor, action, details FROM skene.audit ORDER BY audit_id")
