"""What a run of the demo decided and why, and whether the promise held: counted from outside the package."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from email.parser import BytesHeaderParser
from email.utils import parseaddr
from typing import TYPE_CHECKING, Any, LiteralString, cast

import psycopg
import yaml
from psycopg import sql
from psycopg.rows import dict_row

from demo import postgres
from demo.console import say
from demo.paths import LOGS, LOOPS, OUTBOX, REFERENCE_LOOP, ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

LOOP = REFERENCE_LOOP.stem
WHY = {
    "already_entered": "entered this loop in an earlier run; once is once",
    "duplicate_address": "another person with the same address is already in",
    "expired": "too late: the run is older than the loop allows",
    "invalid_address": "no address that mail can be sent to",
    "missing_key": "the row has no person key",
    "missing_variable": "a value that the template prints is missing",
    "no_segment": "no segment of the loop fits",
    "stopped": "somebody has stopped the loop",
    "suppressed": "the address is on the do-not-send list",
    "unsubscribed": "the person said no",
}


@dataclass(frozen=True, slots=True)
class Facts:
    """What can be counted from outside at one moment."""

    asked: frozenset[str]
    mailed: Counter[str]

    @classmethod
    def now(cls) -> Facts:
        """Count the people whom the query names, and the mails by recipient."""
        with psycopg.connect(postgres.dsn()) as conn:
            cursor = conn.cursor(row_factory=dict_row).execute(_query())
            people = frozenset(str(row["email"]) for row in cursor)
        return cls(people, Counter(_recipients()))


def by_hand() -> int:
    """How many people the reference query names right now."""
    return len(Facts.now().asked)


def check(mode: str, before: Facts, after: Facts) -> list[str]:
    """Hold a run against what was counted before and after it; returns every difference found."""
    if mode == "shadow":
        return [f"a shadow run sent {after.mailed.total()} mails"] if after.mailed != before.mailed else []
    found = [f"{count} mails to one person" for count in set(after.mailed.values()) if count > 1]
    # The query says NOW(): either count is right for a run that goes on while noon passes.
    if frozenset(after.mailed) not in (before.asked, after.asked):
        found.append(f"the query names {len(after.asked)} people, {len(after.mailed)} got mail, or other people did")
    if before.mailed and after.mailed != before.mailed:
        found.append(f"the second live run sent {after.mailed.total() - before.mailed.total()} mails")
    return found


def sent_so_far() -> str:
    """How many mails have left, for the progress line; empty before the first."""
    try:
        with psycopg.connect(postgres.dsn(), connect_timeout=2) as conn:
            row = conn.execute(
                "SELECT count(*) FROM skene.deliveries_v"
                " WHERE status = 'sent' AND run_no = (SELECT max(run_no) FROM skene.runs_v)"
            ).fetchone()
    except psycopg.Error:
        return ""
    return f"{row[0]:,} mails sent" if row and row[0] else ""


def somebody(mailed_by: str, named_by: str) -> str:
    """The key of a person whom one loop has mailed and whom another one's query names; the first there is."""
    loop = yaml.safe_load((LOOPS / f"{named_by}.yaml").read_text(encoding="utf-8"))
    # It is a file of this repository, as trusted as this line.
    query = sql.SQL(cast("LiteralString", loop["steps"][0]["condition"].replace(":as_of", "now()")))
    named = sql.SQL(
        "SELECT d.user_key FROM ({}) q JOIN skene.deliveries_v d ON d.user_key = q.id::text"
        " WHERE d.loop_id = %s AND d.status = 'sent' ORDER BY q.id LIMIT 1"
    )
    with psycopg.connect(postgres.dsn()) as conn:
        row = conn.execute(named.format(query), [mailed_by]).fetchone()
    return str(row[0]) if row else "1"


def what_happened(seconds: float) -> None:
    """Print the newest run: what was decided and why, what left, how fast."""
    run = _newest_run()
    say()
    say(f"  mode        {run['mode']}, as of {run['as_of']:%Y-%m-%d %H:%M %Z}")
    say(f"  candidates  {run['candidates']:>7,}   people the query named")
    verdicts = dict(run["verdicts"] or {})
    skips = verdicts.pop("skip", {})
    for verdict, count in verdicts.items():
        if count or verdict == "send":
            say(f"  {verdict:<11} {count:>7,}   {_verdict_means(verdict, run['mode'])}")
    for reason, count in skips.items():
        say(f"  skip        {count:>7,}   {reason}: {WHY.get(reason, 'see docs')}")
    for status, count in (run["statuses"] or {}).items():
        say(f"  {status:<11} {count:>7,}   deliveries in the ledger")
    rate = _mails_per_second(run["run_no"])
    say(f"  time        {seconds:>7.1f}   seconds, Airflow's own start included{rate}")


def where_to_look() -> None:
    """Print where the mails, the decisions and the logs are."""
    mails = OUTBOX / "index.html"
    say(f"  the mails      {mails.as_uri()}")
    say('  the decisions  .venv/bin/python -m demo.sql "SELECT * FROM skene.decisions_v LIMIT 5"')
    say("  the ledger     skene.deliveries_v, skene.runs_v, skene.funnel_v in the same database")
    say(f"  the logs       {LOGS.relative_to(ROOT)}/")
    say("  the UI         make airflow")
    say("  remove it all  make clean")


def _verdict_means(verdict: str, mode: str) -> str:
    if verdict == "hold_out":
        return "kept without mail, to measure against"
    return "would get a mail from a live run" if mode == "shadow" else "passed every gate"


def _newest_run() -> dict[str, Any]:
    with psycopg.connect(postgres.dsn(), row_factory=dict_row) as conn:
        conn.execute("SET TIME ZONE 'UTC'")
        run = conn.execute("SELECT * FROM skene.runs_v ORDER BY run_no DESC LIMIT 1").fetchone()
    if run is None:
        raise LookupError("the run left no row in skene.runs_v")
    return run


def _mails_per_second(run_no: int) -> str:
    with psycopg.connect(postgres.dsn()) as conn:
        row = conn.execute(
            "SELECT count(*), extract(epoch FROM max(sent_at) - min(queued_at)) FROM skene.deliveries_v"
            " WHERE run_no = %s AND status = 'sent'",
            [run_no],
        ).fetchone()
    return f"; {row[0] / float(row[1]):,.0f} mails a second once it sent" if row and row[1] else ""


def _query() -> LiteralString:
    loop = yaml.safe_load(REFERENCE_LOOP.read_text(encoding="utf-8"))
    # It is a file of this repository, as trusted as this line.
    return cast("LiteralString", loop["steps"][0]["condition"]["query"])


def _recipients() -> Iterator[str]:
    parser = BytesHeaderParser()
    for path in OUTBOX.rglob("*.eml"):
        with path.open("rb") as file:
            yield parseaddr(str(parser.parse(file)["To"]))[1]
