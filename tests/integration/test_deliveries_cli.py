"""`skene-airflow deliveries`, `stop` and `start` on a real ledger; the provider's log is the oracle."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from skene_airflow.channels import Channel, ChannelConfig, make_channel
from skene_airflow.ledger import control
from skene_airflow.nouns import Mode
from skene_airflow.stages.job import Job
from skene_airflow.stages.mark import mark
from skene_airflow.stages.report import report
from skene_airflow.stages.send import Sender
from skene_airflow.testing import ResendServer
from tests.integration.shop import Shop, Skene, audit, everybody, mailed
from tests.smtp_server import SmtpServer


def with_on_sent(job: Job) -> Job:
    text = "UPDATE users u SET re_engagement_sent = true FROM sent WHERE u.id = sent.id"
    step = job.step.model_copy(update={"on_sent": text})
    return replace(job, loop=job.loop.model_copy(update={"steps": (step,)}), step=step)


@pytest.fixture
def doubtful(shop: Shop, smtp: tuple[SmtpServer, Channel]) -> list[int]:
    """Three people whose mails may have gone out over SMTP; the numbers of their deliveries."""
    server, channel = smtp
    shop.dormant(3)
    server.plan["dot"] = "take_drop"
    job = with_on_sent(shop.job())
    shop.decide(channel, job)
    Sender(job, 0, channel, sleep=lambda _: None).run()
    server.plan.clear()
    assert shop.statuses() == {"uncertain": 3}
    return [row["delivery_id"] for row in shop.sql("SELECT delivery_id FROM skene.deliveries ORDER BY user_key")]


@pytest.fixture
def failed(shop: Shop) -> list[int]:
    """Two people whom the provider refused for good."""
    shop.dormant(2)
    with (
        SmtpServer(plan={"rcpt": "550 unknown"}) as server,
        make_channel(
            ChannelConfig("smtp", "127.0.0.1", server.port, extra={"disable_tls": True, "disable_ssl": True})
        ) as channel,
    ):
        job = shop.job()
        shop.decide(channel, job)
        Sender(job, 0, channel).run()
    assert shop.statuses() == {"failed": 2}
    return [row["delivery_id"] for row in shop.sql("SELECT delivery_id FROM skene.deliveries ORDER BY user_key")]


def test_list_filters_and_shows_no_address(shop: Shop, resend: Channel, skene: Skene) -> None:
    shop.dormant(3)
    shop.run(resend)
    code, out, _ = skene("deliveries", "list", "--loop", "re_engagement", "--user", "2", "--status", "sent")
    assert code == 0
    assert len(out.splitlines()) == 2
    assert "example.com" not in out
    _, out, _ = skene("deliveries", "list", "--format", "json", "--run", "run 1", "--step", "main")
    rows = json.loads(out)["deliveries"]
    assert {row["user_key"] for row in rows} == {"1", "2", "3"}
    columns = {
        row["column_name"]
        for row in shop.sql("SELECT column_name FROM information_schema.columns WHERE table_name = 'deliveries_v'")
    }
    assert set(rows[0]) == columns
    assert skene("deliveries", "list", "--status", "failed")[1] == "no deliveries\n"
    code, out, err = skene("deliveries", "list", "--limit", "2")
    assert (code, len(out.splitlines())) == (0, 3)
    assert "--limit" in err
    assert "re_engagement" in skene("deliveries", "list", "--loop", "re_engagment")[2]


def test_retry_of_failed_ones_goes_out_under_a_new_key(
    shop: Shop, smtp: tuple[SmtpServer, Channel], failed: list[int], skene: Skene
) -> None:
    server, channel = smtp
    old = shop.sql("SELECT idem_key FROM skene.batches")
    code, out, _ = skene("deliveries", "retry", "--loop", "re_engagement", "--reason", "ada@example.com is back")
    assert (code, out.split(";")[0]) == (0, "2 deliveries queued anew")
    assert shop.statuses() == {"queued": 2}
    batches = shop.sql(
        "SELECT idem_key, members, expires_at > now() + interval '23 hours' AS later FROM skene.batches "
        "WHERE status = 'open'"
    )
    assert [(row["members"], row["later"]) for row in batches] == [(1, True), (1, True)]
    assert not {row["idem_key"] for row in batches} & {row["idem_key"] for row in old}
    assert Sender(shop.job(), 0, channel).drain(Mode.LIVE).sent == 2
    assert len(server.taken) == 2
    [entry] = audit(shop)
    assert (entry["actor"], entry["action"]) == ("ada", "deliveries retry")
    assert entry["details"]["deliveries"] == failed
    assert entry["details"]["were"] == {"failed": 2}
    assert entry["details"]["reason"] == "‹address› is back"
    assert skene("deliveries", "retry", "--loop", "re_engagement")[:2] == (0, "0 deliveries queued anew\n")


def test_retry_can_take_another_provider(
    shop: Shop, server: ResendServer, resend: Channel, failed: list[int], skene: Skene
) -> None:
    assert skene("deliveries", "retry", str(failed[0]), str(failed[1]), "--provider", "resend")[0] == 0
    assert Sender(shop.job(), 0, resend).drain(Mode.LIVE).calls == 1
    assert mailed(server) == everybody(2)


def test_uncertain_ones_are_only_sent_again_if_somebody_says_so(
    shop: Shop, smtp: tuple[SmtpServer, Channel], doubtful: list[int], skene: Skene
) -> None:
    server, channel = smtp
    code, _, err = skene("deliveries", "retry", str(doubtful[0]))
    assert code == 1
    assert "--may-double" in err
    assert skene("deliveries", "retry", "--loop", "re_engagement")[:2] == (0, "0 deliveries queued anew\n")
    assert shop.statuses() == {"uncertain": 3}
    assert skene("deliveries", "retry", str(doubtful[0]), "--may-double")[0] == 0
    assert shop.statuses() == {"uncertain": 2, "queued": 1}
    Sender(shop.job(), 0, channel).drain(Mode.LIVE)
    assert len(server.taken) == 4
    assert [entry["details"]["may_double"] for entry in audit(shop)] == [True]


def test_settled_ones_are_sent_and_marked(shop: Shop, doubtful: list[int], skene: Skene) -> None:
    job = with_on_sent(shop.job())
    mark(job)
    assert shop.sql("SELECT count(*) AS n FROM users WHERE re_engagement_sent") == [{"n": 0}]
    words = ("deliveries", "settle", str(doubtful[1]), "--evidence", "in the log", "--message-id", "<m1>")
    assert skene(*words)[:2] == (0, "1 delivery settled as sent\n")
    assert shop.statuses() == {"uncertain": 2, "sent": 1}
    assert mark(job).people == 1
    assert shop.sql("SELECT id FROM users WHERE re_engagement_sent") == [{"id": 2}]
    [row] = shop.sql("SELECT provider_message_id, reason FROM skene.deliveries_v WHERE status = 'sent'")
    assert row == {"provider_message_id": "<m1>", "reason": "settled"}
    assert skene(*words)[0] == 1
    assert len(audit(shop)) == 1


def test_abandoned_ones_keep_their_entry(shop: Shop, resend: Channel, doubtful: list[int], skene: Skene) -> None:
    code, out, _ = skene("deliveries", "abandon", "--loop", "re_engagement", "--reason", "lost", "--format", "json")
    assert (code, json.loads(out)) == (0, {"changed": 3, "deliveries": sorted(doubtful)})
    assert shop.statuses() == {"abandoned": 3}
    assert shop.run(resend).verdicts["skip"] == {"already_entered": 3}
    assert skene("deliveries", "retry", str(doubtful[0]))[0] == 0, "what was given up may be tried after all"


@pytest.mark.parametrize(
    "words",
    [
        ("retry", "{a}", "999999"),
        ("retry", "{a}", "{sent}", "--may-double"),
        ("abandon", "{a}", "{sent}", "--reason", "x"),
        ("settle", "{a}", "{sent}", "--evidence", "x"),
    ],
)
def test_one_wrong_delivery_keeps_everything_as_it_was(
    shop: Shop, doubtful: list[int], skene: Skene, words: tuple[str, ...]
) -> None:
    skene("deliveries", "settle", str(doubtful[2]), "--evidence", "seen")
    before, log = shop.sql("SELECT * FROM skene.deliveries ORDER BY 5"), audit(shop)
    numbers = {"a": doubtful[0], "sent": doubtful[2]}
    code, out, err = skene("deliveries", *(word.format(**numbers) for word in words))
    assert (code, out) == (1, "")
    assert "Nothing was changed" in err
    assert (shop.sql("SELECT * FROM skene.deliveries ORDER BY 5"), audit(shop)) == (before, log)


@pytest.mark.parametrize(
    "words",
    [
        ("retry",),
        ("retry", "1", "--loop", "re_engagement"),
        ("retry", "one"),
        ("retry", "0"),
        ("retry", "--loop", "nobody"),
        ("retry", "--loop", "re_engagement", "--status", "sent"),
        ("abandon", "1"),
        ("settle", "1"),
        ("settle", "--loop", "re_engagement", "--evidence", "x", "--message-id", "m"),
        ("list", "--status", "gone"),
        ("forget",),
        (),
    ],
)
def test_wrong_usage_is_2(shop: Shop, doubtful: list[int], skene: Skene, words: tuple[str, ...]) -> None:
    try:
        code = skene("deliveries", *words)[0]
    except SystemExit as left:
        code = int(left.code or 0)
    assert code == 2
    assert shop.statuses() == {"uncertain": 3}


def test_a_doubt_that_the_provider_can_be_asked_about_is_left_to_it(
    shop: Shop, server: ResendServer, resend: Channel, skene: Skene
) -> None:
    shop.dormant(2)
    shop.decide(resend, shop.job())
    shop.sql("UPDATE skene.batches SET in_doubt = true, first_post_at = now()")
    assert shop.statuses() == {"uncertain": 2}
    for words in (("retry", "1", "--may-double"), ("abandon", "1", "--reason", "x")):
        code, _, err = skene("deliveries", *words)
        assert code == 1
        assert "same key" in err
    assert skene("deliveries", "settle", "1", "--evidence", "seen")[0] == 0
    assert shop.statuses() == {"uncertain": 1, "sent": 1}
    shop.sql("UPDATE skene.batches SET first_post_at = now() - interval '2 days'")
    assert skene("deliveries", "abandon", "2", "--reason", "x")[0] == 0
    assert shop.statuses() == {"abandoned": 1, "sent": 1}


def test_a_lease_that_ran_out_over_smtp_is_doubt_for_good(
    shop: Shop, smtp: tuple[SmtpServer, Channel], skene: Skene
) -> None:
    shop.dormant(1)
    job = shop.job()
    shop.decide(smtp[1], job)
    sender = Sender(job, 0, smtp[1])
    assert sender._freezer.next(sender._lane(Mode.LIVE)) is not None
    assert skene("deliveries", "abandon", "1", "--reason", "x")[0] == 1, "somebody is sending it"
    shop.sql("UPDATE skene.batches SET lease_until = now() - interval '1 second'")
    assert skene("deliveries", "abandon", "1", "--reason", "x")[0] == 0
    assert shop.statuses() == {"abandoned": 1}
    assert report(job).statuses == {"abandoned": 1}


def test_what_was_erased_or_is_stopped_is_not_retried(shop: Shop, failed: list[int], skene: Skene) -> None:
    control.stop(shop.ledger, "re_engagement", "ada")
    assert "stopped" in skene("deliveries", "retry", str(failed[0]))[2]
    control.start(shop.ledger, "re_engagement", "ada")
    shop.sql("UPDATE skene.deliveries SET address = NULL, vars = NULL")
    assert "erased" in skene("deliveries", "retry", str(failed[0]))[2]
    assert shop.statuses() == {"failed": 2}


def test_stop_and_start(shop: Shop, server: ResendServer, resend: Channel, skene: Skene) -> None:
    shop.dormant(3)
    shop.decide(resend, shop.job())
    code, out, err = skene("stop", "re_engagement", "--format", "json")
    facts = json.loads(out)
    assert (code, err, facts["cancelled"], facts["in_doubt"], facts["known"]) == (0, "", 3, 0, True)
    assert [(row["loop_id"], row["actor"]) for row in facts["stopped"]] == [("re_engagement", "ada")]
    code, out, _ = skene("stop", "--actor", "grace")
    assert (code, out) == (0, "all loops are stopped: 0 queued deliveries cancelled, their entries given back\n")
    code, out, _ = skene("start", "re_engagement")
    assert "still stopped, by grace" in out
    assert shop.run(resend).verdicts["skip"] == {"stopped": 3}
    assert skene("start")[:2] == (0, "all loops are started\n")
    assert skene("start")[:2] == (0, "all loops are not stopped by that name\n")
    shop.run(resend)
    assert mailed(server) == everybody(3)
    assert [(e["actor"], e["action"]) for e in audit(shop)] == [
        ("ada", "stop"),
        ("grace", "stop"),
        ("ada", "start"),
        ("ada", "start"),
    ]


def test_a_batch_in_doubt_waits_for_start(shop: Shop, server: ResendServer, resend: Channel, skene: Skene) -> None:
    shop.dormant(150)
    job = shop.job()
    shop.decide(resend, job)
    sender = Sender(job, 0, resend)
    assert sender._freezer.next(sender._lane(Mode.LIVE)) is not None
    shop.sql("UPDATE skene.batches SET lease_until = now() - interval '1 second' WHERE status = 'sending'")
    _, out, _ = skene("stop", "re_engagement")
    assert "50 queued deliveries cancelled" in out
    assert "100 mails in calls" in out
    assert Sender(job, 0, resend).run().calls == 0
    skene("start", "re_engagement")
    assert Sender(job, 0, resend).run().sent == 100


def test_an_unknown_loop_is_warned_of_and_stopped_all_the_same(shop: Shop, skene: Skene) -> None:
    shop.loop()
    code, _, err = skene("stop", "re_engagment")
    assert code == 0
    assert "did you mean 're_engagement'?" in err
    assert [row["loop_id"] for row in control.stopped(shop.ledger)] == ["re_engagment"]
