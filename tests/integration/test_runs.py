"""Whole runs of the reference loop against a real PostgreSQL and a server that behaves like Resend.

The oracle is what the provider accepted, never the ledger alone.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from markupsafe import escape

from skene_airflow.channels import Channel
from skene_airflow.errors import ConfError, LedgerError, QueryError, SettingsError
from skene_airflow.ledger import Ledger
from skene_airflow.nouns import Mode
from skene_airflow.stages.evaluate import evaluate
from skene_airflow.stages.report import report
from skene_airflow.stages.segment import segment
from skene_airflow.stages.send import Sender
from skene_airflow.testing import ResendServer
from tests.integration.shop import LOOP, Shop, everybody, mailed

LONG_AGO = datetime.now(UTC) - timedelta(days=10)


def test_everybody_dormant_is_mailed_once_and_the_second_run_mails_nobody(
    shop: Shop, server: ResendServer, resend: Channel
) -> None:
    shop.dormant(250)
    first = shop.run(resend)
    assert mailed(server) == everybody(250)
    assert first.statuses == {"sent": 250}
    assert first.verdicts == {"send": 250, "hold_out": 0, "skip": {}}
    second = shop.run(resend)
    assert mailed(server) == everybody(250)
    assert second.nobody
    assert second.verdicts == {"send": 0, "hold_out": 0, "skip": {"already_entered": 250}}
    assert all(request.headers.get("idempotency-key") for request in server.requests)


def test_a_run_without_conf_records_the_same_decisions_and_calls_nobody(
    shop: Shop, server: ResendServer, resend: Channel
) -> None:
    shop.dormant(3)
    shop.sql("UPDATE users SET email = 'not an address' WHERE id = 2")
    shadow = shop.run(resend, shop.job({}))
    live = shop.run(resend)
    assert shadow.mode == Mode.SHADOW
    assert shadow.verdicts == live.verdicts == {"send": 2, "hold_out": 0, "skip": {"invalid_address": 1}}
    rows = "SELECT user_key, entry_key, verdict, reason FROM skene.decisions_v WHERE mode = %s ORDER BY user_key"
    assert shop.sql(rows, "shadow") == shop.sql(rows, "live")
    assert mailed(server) == everybody(1) + everybody(1, 3)


def test_a_shadow_run_claims_nothing(shop: Shop, server: ResendServer, resend: Channel) -> None:
    shop.dormant(3)
    assert shop.decide(resend, shop.job({}, run_type="backfill")).shards == []
    assert shop.statuses() == {}
    assert server.requests == []


def test_clear_keeps_a_shadow_run_a_shadow_run(shop: Shop, server: ResendServer, resend: Channel) -> None:
    shop.dormant(2)
    shop.run(resend, shop.job({}, run_id="one"))
    again = shop.run(resend, shop.job({"mode": "live"}, run_id="one"))
    assert again.mode == Mode.SHADOW
    assert server.requests == []


def test_clear_of_a_live_run_mails_nobody_again_and_keeps_its_verdicts(
    shop: Shop, server: ResendServer, resend: Channel
) -> None:
    shop.dormant(5)
    job = shop.job(run_id="one")
    first = shop.run(resend, job)
    shop.dormant(5, first=6)  # a Clear judges the rows that were staged, not the world of today
    assert shop.run(resend, job) == first
    assert mailed(server) == everybody(5)


def test_an_uncommitted_stage_is_run_again(shop: Shop, server: ResendServer, resend: Channel) -> None:
    shop.dormant(2)
    shop.sql("ALTER TABLE users RENAME TO gone")
    job = shop.job()
    with pytest.raises(QueryError, match=r"table or view that does not exist.*42P01"):
        evaluate(job)
    shop.sql("ALTER TABLE gone RENAME TO users")
    shop.run(resend, job)
    assert mailed(server) == everybody(2)


def test_a_template_edited_between_the_tasks_does_not_reach_this_run(
    shop: Shop, server: ResendServer, resend: Channel
) -> None:
    shop.dormant(1)
    job = shop.job()
    evaluate(job)
    shop.template("---\nsubject: New words\n---\n<p>{{ user.locale }}</p>")
    judged = segment(job, resend)
    Sender(job, judged.shards[0], resend).run()
    assert (server.accepted[0].mail or {})["subject"] == "We miss you, User 1"


def test_redirect_sends_everything_to_one_address_and_counts_for_nothing_else(
    shop: Shop, server: ResendServer, resend: Channel
) -> None:
    shop.dormant(3)
    redirect = replace(shop.settings, max_mode=Mode.REDIRECT, redirect_to="qa@acme.example")
    assert shop.run(resend, shop.job(settings=redirect)).mode == Mode.REDIRECT
    assert mailed(server) == Counter({"qa@acme.example": 3})
    shop.run(resend, shop.job(settings=redirect))
    assert mailed(server) == Counter({"qa@acme.example": 3})
    shop.run(resend)
    assert mailed(server) == Counter({"qa@acme.example": 3}) + everybody(3)


def test_redirect_without_an_address_is_refused_before_the_first_claim(shop: Shop, resend: Channel) -> None:
    shop.dormant(1)
    with pytest.raises(SettingsError, match="redirect_to"):
        shop.run(resend, shop.job(settings=replace(shop.settings, max_mode=Mode.REDIRECT)))
    assert shop.statuses() == {}


@pytest.mark.parametrize("ceiling", [Mode.SHADOW, Mode.REDIRECT])
def test_a_live_leftover_is_never_leased_under_a_lower_ceiling(
    shop: Shop, server: ResendServer, resend: Channel, ceiling: Mode
) -> None:
    shop.dormant(2)
    job = shop.job()
    shop.decide(resend, job)
    lower = replace(job, settings=replace(shop.settings, max_mode=ceiling, redirect_to="qa@acme.example"))
    assert Sender(lower, 0, resend).run().calls == 0
    assert server.requests == []
    assert Sender(job, 0, resend).run().sent == 2


def test_a_late_run_records_expired_unless_conf_says_otherwise(
    shop: Shop, server: ResendServer, resend: Channel
) -> None:
    shop.dormant(2)
    late = shop.run(resend, shop.job(as_of=LONG_AGO, run_type="scheduled"))
    assert late.verdicts["skip"] == {"expired": 2}
    assert server.requests == []
    shop.run(resend, shop.job({"mode": "live", "expires_after": "30d"}, as_of=LONG_AGO))
    assert mailed(server) == everybody(2)


def test_what_expires_in_the_queue_gives_its_entry_back(shop: Shop, server: ResendServer, resend: Channel) -> None:
    shop.dormant(2)
    first = shop.job(run_id="first")
    shop.decide(resend, first)
    shop.sql("UPDATE skene.batches SET expires_at = now() - interval '1 second'")
    Sender(first, 0, resend).run()
    assert report(first).statuses == {"expired": 2}
    assert server.requests == []
    second = shop.run(resend)
    assert second.statuses == {"sent": 2}
    assert mailed(server) == everybody(2)
    assert report(first).statuses == {"expired": 2}, "a row taken over stays counted where it was"


def test_a_conf_with_a_typo_fails_before_anything(shop: Shop, resend: Channel) -> None:
    shop.dormant(1)
    with pytest.raises(ConfError, match="mod"):
        shop.run(resend, shop.job({"mod": "live"}))
    assert shop.sql("SELECT to_regclass('skene.runs') AS t") == [{"t": None}]


def test_nobody_in_the_audience(shop: Shop, resend: Channel) -> None:
    judged = shop.decide(resend, shop.job())
    assert judged.shards == []
    assert shop.run(resend).nobody


def test_a_value_that_is_missing_keeps_only_that_person_from_the_mail(
    shop: Shop, server: ResendServer, resend: Channel
) -> None:
    shop.dormant(3)
    shop.sql("UPDATE users SET name = NULL WHERE id = 2")
    outcome = shop.run(resend)
    assert outcome.verdicts == {"send": 2, "hold_out": 0, "skip": {"missing_variable": 1}}
    assert "None" not in str([mail.mail for mail in server.accepted])


def test_a_value_that_only_rendering_can_miss_gives_the_entry_back(
    shop: Shop, server: ResendServer, resend: Channel
) -> None:
    shop.template("---\nsubject: Hi\n---\n{% if user.locale == 'de' %}<p>{{ name }}</p>{% endif %}{{ lastActivity }}")
    shop.dormant(2)
    shop.sql("UPDATE users SET name = NULL WHERE id = 2")
    assert shop.run(resend).statuses == {"sent": 1, "cancelled": 1}
    shop.sql("UPDATE users SET name = 'Two' WHERE id = 2")
    shop.run(resend)
    assert mailed(server) == everybody(2)


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ("base_url", "AIRFLOW__SKENE__BASE_URL"),
        ("postal_address", "postal_address"),
        ("secret_keys", "secret_key"),
        ("from_email", "From address"),
    ],
)
def test_mail_that_could_not_be_said_no_to_is_refused_before_the_first_claim(
    shop: Shop, server: ResendServer, resend: Channel, setting: str, says: str
) -> None:
    shop.dormant(1)
    unset: dict[str, Any] = {setting: () if setting == "secret_keys" else ""}
    empty = replace(shop.settings, **unset)
    with pytest.raises(SettingsError, match=says):
        shop.run(resend, shop.job(settings=empty))
    assert shop.statuses() == {}
    assert server.requests == []


@pytest.mark.parametrize(
    ("query", "says"),
    [
        (
            "SELECT * FROM users WHERE nme = 'x'",
            "at line 1 of the query: it names a column that does not exist .*42703",
        ),
        ("SELECT id, email FROM users", "does not return the column 'last_activity_at'; it returns: email, id"),
        ("SELECT u.*, u.email FROM users u", "two columns named 'email'"),
        ("SELECT * FROM users u WHERE 1/(u.id - u.id) = 1", "divides by zero.*22012"),
        ("SELECT u.*, pg_advisory_lock(1), pg_sleep(60) FROM users u", "timeout 0:00:01.*57014"),
        ("SELECT u.*, nextval('s') FROM users u", "tries to write.*25006"),
        ("SELECT u.*, set_config('transaction_read_only', 'off', false) FROM users u", "25001|refused"),
    ],
)
def test_what_the_database_refuses_is_said_in_our_words(shop: Shop, resend: Channel, query: str, says: str) -> None:
    shop.dormant(1)
    shop.sql("CREATE SEQUENCE s")
    text = LOOP.replace(
        "SELECT * FROM users WHERE last_activity_at < NOW() - INTERVAL '7 days' AND re_engagement_sent = false", query
    ).replace("timeout: 10m", "timeout: 1s")
    with pytest.raises(QueryError, match=says) as caught:
        shop.run(resend, shop.job(loop=shop.loop(text)))
    assert "example.com" not in str(caught.value)
    assert shop.sql("SELECT last_value, is_called FROM s") == [{"last_value": 1, "is_called": False}]


def test_text_keys_odd_names_and_a_parameter(shop: Shop, server: ResendServer, resend: Channel) -> None:
    shop.sql('CREATE TABLE people ("userKey" text, "eMail" text, seen timestamptz)')
    shop.sql("INSERT INTO people VALUES ('ключ %s', 'a@example.com', '2026-01-01'), ('b', 'b@example.com', now())")
    shop.template("---\nsubject: Hi\n---\n<p>{{ user.seen }} 100%</p>")
    text = """\
type: retention
opinion: Odd names
user: {table: people, key: userKey, email: eMail}
steps:
  - trigger: {type: manual}
    condition: |
      SELECT *, '100%' AS share, ':as_of' AS word FROM people -- 50% :as_of
      WHERE seen < :as_of::timestamptz - interval '7 days';
    action: {type: email, template: re_engagement}
"""
    outcome = shop.run(resend, shop.job(loop=shop.loop(text)))
    assert outcome.statuses == {"sent": 1}
    assert shop.sql("SELECT user_key FROM skene.deliveries_v") == [{"user_key": "ключ %s"}]
    assert mailed(server) == Counter({"a@example.com": 1})


def test_the_ledger_in_a_database_of_its_own(shop: Shop, server: ResendServer, resend: Channel, postgres: str) -> None:
    with psycopg.connect(postgres, autocommit=True) as conn:
        conn.execute("DROP DATABASE IF EXISTS ledger_elsewhere")
        conn.execute("CREATE DATABASE ledger_elsewhere")
    elsewhere = psycopg.conninfo.make_conninfo(postgres, dbname="ledger_elsewhere")
    shop.dormant(120)
    ledger = Ledger(lambda: psycopg.connect(elsewhere))
    job = replace(shop.job(), ledger=ledger)
    assert shop.run(resend, job).statuses == {"sent": 120}
    ledger.close()
    assert mailed(server) == everybody(120)
    assert shop.sql("SELECT to_regnamespace('skene') AS n") == [{"n": None}]


def test_trouble_of_the_ledger_is_not_blamed_on_the_condition(shop: Shop, resend: Channel) -> None:
    shop.dormant(5000)
    shop.ledger.migrate()
    shop.sql("ALTER TABLE skene.stage ADD CHECK (n < 4000)")
    with pytest.raises(LedgerError, match="23514"):
        shop.run(resend)
    shop.sql("ALTER TABLE skene.stage DROP CONSTRAINT stage_n_check")
    shop.sql("CREATE FUNCTION slow(bigint) RETURNS bigint LANGUAGE sql VOLATILE AS 'SELECT 1 / (4000 - $1)'")
    failing = LOOP.replace("AND re_engagement_sent = false", "AND slow(id) < 2")
    with pytest.raises(QueryError, match="22012"):
        shop.run(resend, shop.job(loop=shop.loop(failing)))
    assert shop.run(resend).statuses == {"sent": 5000}


def test_values_arrive_as_the_database_has_them(shop: Shop, server: ResendServer, resend: Channel) -> None:
    shop.dormant(1)
    odd = 'a\\b\tc\nd \\N é😀 "q" {{ x }} %s'
    shop.sql("UPDATE users SET name = %s", odd)
    shop.template("---\nsubject: Hi\n---\n<pre>{{ name }}|{{ user.price }}|{{ user.at }}|{{ user.big }}</pre>")
    text = LOOP.replace(
        "SELECT *", "SELECT *, 5.50::numeric AS price, date '2026-02-03' AS at, 9007199254740993 AS big"
    )
    shop.run(resend, shop.job(loop=shop.loop(text)))
    html = (server.accepted[0].mail or {})["html"]
    assert f">{escape(odd)}|5.50|2026-02-03|9007199254740993</pre>" in html
