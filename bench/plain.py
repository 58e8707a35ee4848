"""The script that people write instead: psycopg, Jinja, the official SDK. It remembers nothing and retries nothing."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import resend
import yaml
from jinja2 import Environment
from psycopg.rows import dict_row

from bench.world import PERSONALIZATION, QUERY, SENDER

if TYPE_CHECKING:
    from bench.world import Place


def environment() -> Environment:
    """Jinja with the two filters of the template, as a script would write them."""
    env = Environment(autoescape=True)
    env.filters["date"] = lambda moment: moment.strftime("%d %b %Y")
    env.filters["money"] = lambda amount, _: f"${amount:,.2f}"
    return env


def send_all(place: Place) -> int:
    """Mail everybody whom the query returns, 100 in a call; returns how many."""
    resend.api_key, resend.api_url = "re_bench", place.sink
    _, head, html = Path(place.template).read_text(encoding="utf-8").split("---\n", 2)
    env = environment()
    subject, body = env.from_string(yaml.safe_load(head)["subject"]), env.from_string(html)
    sent = 0
    with psycopg.connect(place.database, row_factory=dict_row) as conn, conn.cursor() as cur:
        cur.execute(QUERY)
        while rows := cur.fetchmany(100):
            mails: list[resend.Emails.SendParams] = []
            for row in rows:
                values = {word: row[column] for word, column in PERSONALIZATION.items()}
                mails.append(
                    {
                        "from": SENDER,
                        "to": [row["email"]],
                        "subject": subject.render(values),
                        "html": body.render(values),
                    }
                )
            sent += len(resend.Batch.send(mails)["data"])
    return sent
