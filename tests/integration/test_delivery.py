"""What happens around the provider call: trouble, deaths, doubts and races. Its log is the oracle."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Any

import pytest

from skene_airflow.channels import Channel, ChannelConfig, make_channel
from skene_airflow.errors import FINAL, AccountError, RunDoesNotAddUp, RunInDoubt, SendInterrupted
from skene_airflow.ledger import Ledger, control
from skene_airflow.nouns import Mode
from skene_airflow.stages.evaluate import evaluate
from skene_airflow.stages.job import Job
from skene_airflow.stages.report import report
from skene_airflow.stages.segment import segment
from skene_airflow.stages.send import Sender
from skene_airflow.stages.upkeep import upkeep
from skene_airflow.testing import ResendServer
from tests.integration.shop import Shop, everybody, mailed
from tests.smtp_server import SmtpServer


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


def another_account(server: ResendServer) -> Channel:
    return make_channel(ChannelConfig("resend", host=server.url, password="re_of_another_team"))


def test_doubt_is_never_asked_about_with_another_account(shop: Shop, server: ResendServer, resend: Channel) -> None:
    """Another account has not heard of the key: to it, the same call is a new one."""
    shop.dormant(3)
    server._faults = lambda _: "error_after"
    job = shop.job()
    with pytest.raises(SendInterrupted):
        shop.run(resend, job)
    server._faults = None
    shop.sql("UPDATE skene.batches SET next_at = NULL")
    calls = len(server.requests)
    with another_account(server) as other:
        assert Sender(job, 0, other).run().uncertain == 3
    assert len(server.requests) == calls
    assert shop.statuses() == {"uncertain": 3}
    assert mailed(server) == everybody(3)


def test_what_was_plainly_refused_goes_through_another_account(
    shop: Shop, server: ResendServer, resend: Channel
) -> None:
    shop.dormant(3)
    server._faults = lambda _: "bad_key"
    job = shop.job()
    with pytest.raises(AccountError):
        shop.run(resend, job)
    server._faults = None
    with another_account(server) as other:
        assert Sender(job, 0, other).run().sent == 3
    assert mailed(server) == everybody(3)


def test_doubt_alone_is_for_a_person_and_no_retry(shop: Shop, server: ResendServer, resend: Channel) -> None:
    shop.dormant(3)
    server._faults = lambda _: "error_after"
    job = shop.job()
    with pytest.raises(SendInterrupted):
        shop.run(resend, job)
    with pytest.raises(RunDoesNotAddUp) as open_still:
        report(job)
    assert not isinstance(open_still.value, FINAL), "the provider can still be asked"
    shop.sql("UPDATE skene.batches SET next_at = NULL, first_post_at = now() - interval '2 days'")
    assert Sender(job, 0, resend).run().uncertain == 3
    with pytest.raises(RunInDoubt, match=r"3 uncertain.*deliveries list --loop re_engagement --status uncertain"):
        report(job)
    with pytest.raises(RunDoesNotAddUp, match="failed: send"):
        report(job, ["send"])
    assert issubclass(RunInDoubt, FINAL)


def test_what_another_provider_was_to_send_is_sent_by_the_one_that_is_there_now(
    shop: Shop, server: ResendServer, resend: Channel, smtp: tuple[SmtpServer, Channel]
) -> None:
    """Frozen or not, without doubt it goes out: through the new connection, once, in calls of its size."""
    shop.dormant(103)
    server._faults = lambda _: "bad_key"
    job = shop.job()
    with pytest.raises(AccountError):
        shop.run(resend, job)
    tried = shop.sql("SELECT idem_key FROM skene.batches WHERE attempts > 0")
    assert tried
    assert Sender(job, 0, smtp[1]).run().sent == 103
    assert report(job).statuses == {"sent": 103}
    assert len(smtp[0].taken) == 103
    assert not mailed(server)
    assert shop.sql("SELECT DISTINCT provider FROM skene.deliveries_v") == [{"provider": "smtp"}]
    assert not shop.sql("SELECT FROM skene.batches WHERE idem_key = %s", tried[0]["idem_key"])


@pytest.mark.parametrize("stopped", [False, True])
def test_doubt_of_another_provider_is_for_a_person(
    shop: Shop, server: ResendServer, resend: Channel, smtp: tuple[SmtpServer, Channel], stopped: bool
) -> None:
    shop.dormant(3)
    server._faults = lambda _: "error_after"
    job = shop.job()
    with pytest.raises(SendInterrupted):
        shop.run(resend, job)
    if stopped:
        control.stop(shop.ledger, "re_engagement", "ada")
    assert Sender(job, 0, smtp[1]).run().uncertain == (0 if stopped else 3)
    control.start(shop.ledger, "re_engagement", "ada")
    upkeep(shop.ledger, shop.settings, [replace(job, loop=job.loop.model_copy(update={"mode": "live"}))], way(smtp[1]))
    assert shop.sql("SELECT status FROM skene.batches") == [{"status": "done"}]
    with pytest.raises(RunInDoubt, match="3 uncertain"):
        report(job)
    assert not smtp[0].taken
    assert mailed(server) == everybody(3)


def way(channel: Channel) -> Callable[[Job], AbstractContextManager[Channel]]:
    return lambda _: nullcontext(channel)


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

        def at_once(_: float) -> None:
            shop.sql("UPDATE skene.batches SET next_at = NULL")

        with pytest.raises(SendInterrupted):
            Sender(job, 0, smtp, sleep=at_once).run()
        assert shop.statuses() == {"uncertain": 1, "queued": 2}
