"""Whole runs of the reference loop against a real PostgreSQL and a server that behaves like Resend.

The oracle is what the provider accepted, never the ledger alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from skene_airflow.channels import Channel, ChannelConfig, make_channel
from skene_airflow.errors import AccountError, ConfError, QueryError, RunDoesNotAddUp, SendInterrupted, SettingsError
from skene_airflow.ledger import Ledger
from skene_airflow.nouns import Mode
from skene_airflow.stages.evaluate import evaluate
from skene_airflow.stages.report import report
from skene_airflow.stages.segment import segment
from skene_airflow.stages.send import Sender
from skene_airflow.testing import ResendServer
from tests.integration.shop import LOOP, Shop

LONG_AGO = datetime.now(UTC) - timedelta(days=10)


@pytest.fixture
def server() -> Iterator[ResendServer]:
    with ResendServer() as server:
        yield server


@pytest.fixture
def resend(server: ResendServer) -> Iterator[Channel]:
    with make_channel(ChannelConfig("resend", host=server.url, password="re_test")) as channel:
        yield channel


def mailed(server: ResendServer) -> Counter[str]:
    return Counter(mail.to for mail in server.accepted)


def everybody(number: int, first: int = 1) -> Counter[str]:
    return Counter(f"user{i}@example.com" for i in range(first, first + number))


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
    assert server.accepted[0].mail["subject"] == "We miss you, User 1"


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


def test_one_bad_row_fails_alone(shop: Shop, server: ResendServer, resend: Channel) -> None:
    shop.dormant(150)
    shop.sql("UPDATE users SET email = 'user77@example.c' WHERE id = 77")  # one addr-spec, but none that Resend takes
    outcome = shop.run(resend)
    assert outcome.statuses == {"sent": 149, "failed": 1}
    assert mailed(server) == everybody(150) - Counter(["user77@example.com"])
    bad = shop.sql("SELECT user_key, error_class FROM skene.deliveries_v WHERE status = 'failed'")
    assert [row["user_key"] for row in bad] == ["77"]
    assert bad[0]["error_class"]


@pytest.mark.parametrize(
    "fault",
    [
        "rate_limit",
        "error_before",
        "error_after",
        "drop_before",
        "drop_after",
        "malformed",
        "unavailable",
        "concurrent",
    ],
)
def test_trouble_with_the_provider_neither_doubles_nor_loses(
    shop: Shop, server: ResendServer, resend: Channel, fault: str
) -> None:
    shop.dormant(250)
    server._faults = lambda request: fault if request.number % 2 else None
    outcome = shop.run(resend)
    assert outcome.statuses == {"sent": 250}
    assert mailed(server) == everybody(250)


@pytest.mark.parametrize("fault", ["bad_key", "quota", "unverified_domain"])
def test_an_account_that_is_refused_stops_at_once_and_loses_nothing(
    shop: Shop, server: ResendServer, resend: Channel, fault: str
) -> None:
    shop.dormant(250)
    server._faults = lambda _: fault
    job = shop.job()
    with pytest.raises(AccountError):
        shop.run(resend, job)
    assert len(server.requests) == 1
    assert shop.statuses() == {"queued": 250}
    with pytest.raises(RunDoesNotAddUp, match="250 queued"):
        report(job)
    server._faults = None
    shop.run(resend)  # the next run finishes what this one left
    assert mailed(server) == everybody(250)


def test_a_provider_that_stays_down_gives_way_to_airflows_retry(
    shop: Shop, server: ResendServer, resend: Channel
) -> None:
    shop.dormant(3)
    server._faults = lambda _: "error_after"
    job = shop.job()
    with pytest.raises(SendInterrupted, match="1 batches"):
        shop.run(resend, job)
    assert shop.statuses() == {"uncertain": 3}
    server._faults = None
    shop.sql("UPDATE skene.batches SET next_at = NULL")
    Sender(job, 0, resend).run()
    assert report(job).statuses == {"sent": 3}
    assert mailed(server) == everybody(3)


class Killed(BaseException):
    """The process ends here."""


@pytest.mark.parametrize("moment", ["before the call", "after the call"])
def test_a_sender_that_dies_around_the_call(
    shop: Shop, server: ResendServer, resend: Channel, moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.dormant(3)
    job = shop.job()
    shop.decide(resend, job)
    real = resend.send

    def dies(body: bytes, key: str) -> Any:
        if moment == "after the call":
            real(body, key)
        raise Killed

    monkeypatch.setattr(resend, "send", dies)
    with pytest.raises(Killed):
        Sender(job, 0, resend).run()
    assert shop.statuses() == {"sending": 3}
    monkeypatch.undo()
    shop.sql("UPDATE skene.batches SET lease_until = now() - interval '1 second'")
    assert shop.statuses() == {"uncertain": 3}
    Sender(job, 0, resend).run()
    assert report(job).statuses == {"sent": 3}
    assert mailed(server) == everybody(3)


def test_a_lost_lease_settles_nothing(shop: Shop, resend: Channel) -> None:
    shop.dormant(1)
    job = shop.job()
    shop.decide(resend, job)
    first = Sender(job, 0, resend)
    held = first._freezer.next(first._lane(Mode.LIVE))
    assert held is not None
    shop.sql("UPDATE skene.batches SET lease_until = now() - interval '1 second'")
    second = first._freezer.next(first._lane(Mode.LIVE))
    assert second is not None
    assert (second.body, second.idem_key) == (held.body, held.idem_key)
    first._settle(held, resend.send(held.body, held.idem_key))
    assert first.done.sent == 0
    first._settle(second, resend.send(second.body, second.idem_key))
    assert first.done.sent == 1


def test_two_runs_and_their_shards_at_once(shop: Shop, server: ResendServer) -> None:
    shop.dormant(450)
    shop.ledger.migrate()
    loop = shop.loop()

    def one(number: int) -> None:
        ledger = Ledger(shop.connect)
        job = replace(shop.job(loop=loop, run_id=f"run {number}"), ledger=ledger)
        with make_channel(ChannelConfig("resend", host=server.url, password="re_test")) as channel:
            evaluate(job)
            segment(job, channel)
            for shard in range(4):
                Sender(job, shard, channel).run()
        ledger.close()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(one, range(4)))
    assert mailed(server) == everybody(450)
    assert shop.statuses() == {"sent": 450}
    counted = shop.sql("SELECT sum((verdicts->>'send')::int) AS sends FROM skene.runs_v")
    assert counted == [{"sends": 450}]


def test_suppressed_after_the_claim_is_asked_again_at_the_freeze(
    shop: Shop, server: ResendServer, resend: Channel
) -> None:
    shop.dormant(3)
    job = shop.job()
    shop.decide(resend, job)
    shop.sql("INSERT INTO skene.suppressions (user_key, scope, reason, source) VALUES ('2', 'all', 'manual', 'test')")
    Sender(job, 0, resend).run()
    assert report(job).statuses == {"sent": 2, "cancelled": 1}
    assert mailed(server) == everybody(1) + everybody(1, 3)


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
    empty = replace(shop.settings, **{setting: () if setting == "secret_keys" else ""})
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
    text = f"""\
type: retention
opinion: Odd names
user: {{table: people, key: userKey, email: eMail}}
steps:
  - trigger: {{type: manual}}
    condition: |
      SELECT *, '100%' AS share, ':as_of' AS word FROM people -- 50% :as_of
      WHERE seen < :as_of::timestamptz - interval '7 days';
    action: {{type: email, template: re_engagement}}
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


def test_smtp_and_doubt(shop: Shop) -> None:
    """Without an idempotent provider a sender that died leaves doubt to be seen, never a second mail."""
    shop.dormant(3)
    with make_channel(ChannelConfig("smtp", host="127.0.0.1", port=9)) as smtp:
        job = shop.job()
        shop.decide(smtp, job)
        sender = Sender(job, 0, smtp)
        held = sender._freezer.next(sender._lane(Mode.LIVE))
        assert held is not None
        assert len(held.member_ids) == 1
        shop.sql("UPDATE skene.batches SET lease_until = now() - interval '1 second' WHERE status = 'sending'")
        assert shop.statuses() == {"uncertain": 1, "queued": 2}
        with pytest.raises(SendInterrupted):
            Sender(job, 0, smtp, sleep=lambda _: shop.sql("UPDATE skene.batches SET next_at = NULL") and None).run()
        assert shop.statuses() == {"uncertain": 1, "queued": 2}
