"""Stopping, sharing a rate, marking users, doubt policies and the hourly upkeep."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from threading import Lock
from time import monotonic

import pytest

from skene_airflow.channels import Channel, ChannelConfig, make_channel
from skene_airflow.errors import QueryError, RunDoesNotAddUp, SendInterrupted, SettingsError
from skene_airflow.ledger import Ledger, control
from skene_airflow.nouns import Mode
from skene_airflow.stages.evaluate import evaluate
from skene_airflow.stages.job import Job
from skene_airflow.stages.report import report
from skene_airflow.stages.send import Sender
from skene_airflow.stages.upkeep import upkeep
from skene_airflow.testing import ResendServer
from tests.integration.shop import LOOP, Shop, everybody, mailed
from tests.smtp_server import SmtpServer

MARK = "UPDATE users u SET re_engagement_sent = true FROM sent WHERE u.id = sent.id AND sent.name = u.name"


def with_on_sent(job: Job, text: str = MARK) -> Job:
    step = job.step.model_copy(update={"on_sent": text})
    loop = job.loop.model_copy(update={"steps": (step,)})
    return replace(job, loop=loop, step=step)


def same(channel: Channel) -> Callable[[Job], AbstractContextManager[Channel]]:
    return lambda _: nullcontext(channel)


def test_stop_cancels_what_is_queued_and_gives_the_entries_back(
    shop: Shop, server: ResendServer, resend: Channel
) -> None:
    shop.dormant(5)
    job = shop.job()
    shop.decide(resend, job)
    assert control.stop(shop.ledger, "re_engagement", "ada") == 5
    assert Sender(job, 0, resend).run().calls == 0
    assert report(job).statuses == {"cancelled": 5}
    stopped = shop.run(resend)
    assert stopped.verdicts["skip"] == {"stopped": 5}
    assert server.requests == []
    assert control.start(shop.ledger, "re_engagement", "ada")
    assert not control.start(shop.ledger, "re_engagement", "ada")
    shop.run(resend)
    assert mailed(server) == everybody(5)
    audit = shop.sql("SELECT actor, action, details FROM skene.audit ORDER BY audit_id")
    assert [(row["actor"], row["action"]) for row in audit] == [("ada", "stop"), ("ada", "start")]
    assert audit[0]["details"] == {"loop": "re_engagement", "cancelled": 5}


def test_stop_works_inside_a_running_sender(shop: Shop, server: ResendServer, resend: Channel) -> None:
    shop.dormant(500)
    job = shop.job()
    shop.decide(resend, job)
    calls, turn = [], Lock()

    def stops(_: object) -> None:
        with turn:  # calls beside this one get no answer, and make no room for more, until the stop is committed
            calls.append(1)
            if len(calls) == 2:
                with closing(Ledger(shop.connect)) as elsewhere:
                    control.stop(elsewhere, control.ALL, "ada")

    server._faults = stops
    Sender(job, 0, resend).run()
    # What was on its way at that moment arrives; nothing is leased after it.
    assert 2 <= len(calls) < 2 + resend.in_flight
    assert shop.statuses() == {"sent": 100 * len(calls), "cancelled": 500 - 100 * len(calls)}


def test_a_batch_in_doubt_waits_for_start(shop: Shop, server: ResendServer, resend: Channel) -> None:
    shop.dormant(3)
    server._faults = lambda _: "error_after"
    job = shop.job()
    with pytest.raises(SendInterrupted):
        shop.run(resend, job)
    server._faults = None
    assert control.stop(shop.ledger, "re_engagement", "ada") == 0
    shop.sql("UPDATE skene.batches SET next_at = NULL")
    assert Sender(job, 0, resend).run().calls == 0
    with pytest.raises(RunDoesNotAddUp, match="3 uncertain"):
        report(job)
    control.start(shop.ledger, "re_engagement", "ada")
    Sender(job, 0, resend).run()
    assert report(job).statuses == {"sent": 3}
    assert mailed(server) == everybody(3)


def test_another_loop_goes_on(shop: Shop, server: ResendServer, resend: Channel) -> None:
    shop.dormant(2)
    shop.ledger.migrate()
    control.stop(shop.ledger, "something_else", "ada")
    shop.run(resend)
    assert mailed(server) == everybody(2)


def test_on_sent_marks_who_was_sent_and_only_them(shop: Shop, server: ResendServer, resend: Channel) -> None:
    shop.dormant(150)
    shop.sql("UPDATE users SET email = 'user7@example.c' WHERE id = 7")
    job = with_on_sent(shop.job())
    assert shop.run(resend, job).statuses == {"sent": 149, "failed": 1}
    unmarked = shop.sql("SELECT id FROM users WHERE NOT re_engagement_sent")
    assert [row["id"] for row in unmarked] == [7]


def test_on_sent_that_fails_fails_report_and_is_done_by_the_next_one(
    shop: Shop, server: ResendServer, resend: Channel
) -> None:
    shop.dormant(3)
    job = with_on_sent(shop.job(), "UPDATE users SET nothing = true FROM sent WHERE users.id = sent.id")
    with pytest.raises(QueryError, match=r"on_sent failed \(SQLSTATE 42703\)") as caught:
        shop.run(resend, job)
    assert "User" not in str(caught.value)
    assert mailed(server) == everybody(3)
    assert shop.statuses() == {"sent": 3}
    report(with_on_sent(job))
    assert shop.sql("SELECT count(*) AS n FROM users WHERE re_engagement_sent") == [{"n": 3}]
    later = with_on_sent(shop.job(), "SELECT 1 / 0")
    shop.run(resend, later)  # nothing is owed any more, so it is not run


def test_a_file_with_on_sent_gets_the_entrys_columns_and_the_runs_moment(shop: Shop, resend: Channel) -> None:
    shop.dormant(3)
    shop.sql("ALTER TABLE users ADD COLUMN told_at timestamptz, ADD COLUMN spell timestamptz")
    mark = "UPDATE users u SET told_at = :as_of, spell = sent.last_activity_at FROM sent WHERE u.id = sent.id"
    only_name = LOOP.replace('        lastActivity: "{{user.last_activity_at}}"\n', "")
    text = only_name.replace("recovery:", f"    on_sent: {mark}\nentry: {{per: [last_activity_at]}}\nrecovery:")
    shop.template("---\nsubject: Hi\n---\n<p>Hi {{ name }}.</p>\n")
    loop = shop.loop(text, "spells")
    as_of = datetime.now(UTC) - timedelta(hours=1)
    shop.run(resend, shop.job(loop=loop, as_of=as_of))
    marked = shop.sql("SELECT told_at, spell = last_activity_at AS same FROM users")
    assert marked == [{"told_at": as_of, "same": True}] * 3


def test_redirected_mail_marks_nobody(shop: Shop, resend: Channel) -> None:
    shop.dormant(3)
    redirect = replace(shop.settings, max_mode=Mode.REDIRECT, redirect_to="qa@acme.example")
    shop.run(resend, with_on_sent(shop.job(settings=redirect)))
    assert shop.sql("SELECT count(*) AS n FROM users WHERE re_engagement_sent") == [{"n": 0}]


def test_upkeep_finishes_what_a_failed_run_left(shop: Shop, server: ResendServer, resend: Channel) -> None:
    shop.dormant(250)
    job = with_on_sent(shop.job())
    shop.decide(resend, job)
    kept = upkeep(shop.ledger, shop.settings, [job], same(resend))
    assert (kept.sent, kept.marked, kept.failed) == (250, 250, {})
    assert mailed(server) == everybody(250)
    assert report(job).statuses == {"sent": 250}


@pytest.mark.parametrize("why", ["loop in shadow", "ceiling", "stopped", "file gone"])
def test_upkeep_sends_nothing_it_must_not(shop: Shop, server: ResendServer, resend: Channel, why: str) -> None:
    shop.dormant(2)
    job = shop.job()
    shop.decide(resend, job)
    jobs = [job]
    if why == "loop in shadow":
        jobs = [replace(job, loop=job.loop.model_copy(update={"mode": "shadow"}))]
    if why == "ceiling":
        jobs = [replace(job, settings=replace(shop.settings, max_mode=Mode.SHADOW))]
    if why == "stopped":
        control.stop(shop.ledger, control.ALL, "ada")
    if why == "file gone":
        jobs = []
    assert upkeep(shop.ledger, shop.settings, jobs, same(resend)).sent == 0
    assert server.requests == []


def test_upkeep_expires_what_is_late_and_gives_up_on_closed_windows(
    shop: Shop, server: ResendServer, resend: Channel
) -> None:
    shop.dormant(150)
    job = shop.job()
    shop.decide(resend, job)
    shop.sql("UPDATE skene.batches SET expires_at = now() - interval '1 minute'")
    shop.sql("UPDATE skene.batches SET in_doubt = true, first_post_at = now() - interval '2 days' WHERE ordinal = 1")
    kept = upkeep(shop.ledger, shop.settings, [], same(resend))
    assert (kept.expired, kept.uncertain) == (100, 50)
    assert shop.statuses() == {"expired": 100, "uncertain": 50}


def test_upkeep_erases_what_is_older_than_the_retention(shop: Shop, resend: Channel) -> None:
    shop.dormant(3)
    shop.run(resend)
    shop.sql("UPDATE skene.deliveries SET settled_at = now() - interval '31 days' WHERE user_key <> '2'")
    assert upkeep(shop.ledger, shop.settings, [], same(resend)).erased == 2
    kept = shop.sql("SELECT user_key FROM skene.deliveries WHERE address IS NOT NULL AND vars IS NOT NULL")
    assert kept == [{"user_key": "2"}]
    assert shop.run(resend).verdicts["skip"] == {"already_entered": 3}


def test_old_events_and_ended_suppressions_go_too(shop: Shop, resend: Channel) -> None:
    shop.dormant(1)
    shop.run(resend)
    for age in (10, 31, 33):
        shop.sql(
            "INSERT INTO skene.events (provider, event_id, type, at, received_at) VALUES"
            " ('resend', %s, 'email.opened', now(), now() - make_interval(days => %s))",
            f"m{age}",
            age,
        )
        shop.sql(
            "INSERT INTO skene.suppressions (user_key, scope, reason, source, expires_at) VALUES"
            " (%s, 'all', 'bounced', 't', now() - make_interval(days => %s)), (%s, 'all', 'manual', 't', NULL)",
            f"soft{age}",
            age,
            f"hard{age}",
        )
    # Soft bounces are counted over thirty days, whatever the retention is.
    assert upkeep(shop.ledger, replace(shop.settings, retention_days=7), [], same(resend)).erased == 2
    assert [row["event_id"] for row in shop.sql("SELECT event_id FROM skene.events ORDER BY 1")] == ["m10"]
    kept = [row["user_key"] for row in shop.sql("SELECT user_key FROM skene.suppressions ORDER BY 1")]
    assert kept == ["hard10", "hard31", "hard33"]


def test_a_stage_nobody_judged_is_dropped_in_time(shop: Shop, resend: Channel) -> None:
    shop.dormant(1)
    evaluate(shop.job())
    upkeep(shop.ledger, shop.settings, [], same(resend))
    assert shop.sql("SELECT count(*) AS n FROM skene.stage_1") == [{"n": 1}]
    shop.sql("UPDATE skene.runs SET staged_at = now() - interval '31 days'")
    upkeep(shop.ledger, shop.settings, [], same(resend))
    assert shop.sql("SELECT to_regclass('skene.stage_1') AS t") == [{"t": None}]


def test_workers_share_one_rate(shop: Shop) -> None:
    shop.ledger.migrate()

    def take(connection: str = "resend_default") -> int | None:
        wait = control.take(shop.ledger, connection, 10.0, 45.0)
        return None if wait is None else round(wait)

    assert [take() for _ in range(7)] == [0, 10, 20, 30, 40, None, None], "nobody reserves what is too far ahead"
    assert 45 < control.ahead(shop.ledger, "resend_default") <= 50
    assert take("another") == 0
    shop.sql("UPDATE skene.rate_limits SET free_at = now() - interval '1 hour'")
    assert take() == 0, "an idle hour is no credit"
    assert take() == 10


def test_a_sender_waits_its_turn(shop: Shop, server: ResendServer) -> None:
    shop.dormant(300)
    config = ChannelConfig("resend", host=server.url, password="re_test", extra={"rate": "50"})
    slept: list[float] = []
    with make_channel(config) as channel:
        job = shop.job()
        shop.decide(channel, job)
        begun = monotonic()
        Sender(job, 0, channel, sleep=slept.append).run()
        passed = monotonic() - begun
    assert mailed(server) == everybody(300)
    # Three batches of a hundred at fifty a second; what has passed by itself is not waited for again.
    assert len(slept) == 3
    for turn, wait in zip((0, 2, 4), slept, strict=True):
        assert turn - passed <= wait <= turn


@pytest.mark.parametrize("extra", [{"rate": "fast"}, {"rate": "0"}, {"rate": "-1"}, {"uncertain": "maybe"}])
def test_a_connection_with_nonsense_is_refused(shop: Shop, server: ResendServer, extra: dict[str, str]) -> None:
    shop.dormant(1)
    with (
        make_channel(ChannelConfig("resend", host=server.url, password="re_test", extra=extra)) as channel,
        pytest.raises(SettingsError, match="extra"),
    ):
        shop.run(channel)
    assert shop.statuses() == {}


@pytest.fixture
def smtp_server() -> Iterator[SmtpServer]:
    with SmtpServer() as server:
        yield server


@pytest.mark.parametrize(
    ("policy", "statuses", "mails"), [("hold", {"uncertain": 2}, 0), ("assume_sent", {"sent": 2}, 0)]
)
def test_what_becomes_of_doubt_without_an_idempotent_provider(
    shop: Shop, smtp_server: SmtpServer, policy: str, statuses: dict[str, int], mails: int
) -> None:
    shop.dormant(2)
    smtp_server.plan["dot"] = "drop"
    extra = {"uncertain": policy, "disable_tls": True, "disable_ssl": True}
    with make_channel(ChannelConfig("smtp", host="127.0.0.1", port=smtp_server.port, extra=extra)) as channel:
        job = shop.job()
        shop.decide(channel, job)
        Sender(job, 0, channel).run()
    assert shop.statuses() == statuses


def test_resend_in_doubt_is_for_those_who_asked_for_it(shop: Shop, smtp_server: SmtpServer) -> None:
    shop.dormant(1)
    smtp_server.plan["dot"] = "drop"
    extra = {"uncertain": "resend", "disable_tls": True, "disable_ssl": True}
    with make_channel(ChannelConfig("smtp", host="127.0.0.1", port=smtp_server.port, extra=extra)) as channel:
        job = shop.job()
        shop.decide(channel, job)
        sender = Sender(job, 0, channel)
        lane = sender._lane(Mode.LIVE)
        held = sender._freezer.next(lane)
        assert held is not None
        sender._call(held)
        assert shop.statuses() == {"queued": 1}
        del smtp_server.plan["dot"]
        assert Sender(job, 0, channel).run().sent == 1
    keys = shop.sql("SELECT idem_key FROM skene.batches")
    assert len({row["idem_key"] for row in keys}) == 2


def test_a_sender_whose_supervisor_is_gone_stops_before_the_next_call(
    shop: Shop, server: ResendServer, resend: Channel
) -> None:
    shop.dormant(300)
    job = shop.job()
    shop.decide(resend, job)
    alive = iter([True, True, False])
    with pytest.raises(SendInterrupted, match="supervisor"):
        Sender(job, 0, resend, alive=lambda: next(alive)).run()
    assert len(server.requests) == 1
    assert shop.statuses() == {"sent": 100, "queued": 200}
