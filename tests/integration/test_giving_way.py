"""When a sender stops before all is sent: what it leaves behind, what it says, and how long the next one waits."""

from __future__ import annotations

import logging
from dataclasses import replace

import pytest

from skene_airflow.channels import Channel
from skene_airflow.errors import AccountError, QueryError, RunDoesNotAddUp, SendInterrupted
from skene_airflow.ledger import control
from skene_airflow.nouns import Mode
from skene_airflow.stages.report import report
from skene_airflow.stages.send import Sender
from skene_airflow.stages.upkeep import upkeep
from skene_airflow.testing import ResendServer
from skene_airflow.testing.resend_faults import refusal
from tests.integration.shop import Shop, everybody, mailed
from tests.integration.test_control import same, with_on_sent

SLOW_DOWN = refusal(429, "rate_limit_exceeded", "Too many requests.", (("retry-after", "1"),))
AN_HOUR = refusal(429, "rate_limit_exceeded", "Too many requests.", (("retry-after", "3600"),))


def test_a_provider_that_asks_for_a_moment_is_waited_for_in_the_task(
    shop: Shop, server: ResendServer, resend: Channel
) -> None:
    shop.dormant(150)
    server._faults = lambda request: SLOW_DOWN if request.number < 12 else None
    job = shop.job()
    shop.decide(resend, job)
    done = Sender(job, 0, resend).run()  # far more refusals than a batch has tries
    assert done.sent == 150
    assert done.errors == {"rate_limit_exceeded": 11}
    assert mailed(server) == everybody(150)


def test_a_provider_that_asks_for_an_hour_gets_it_from_airflows_retry(
    shop: Shop, server: ResendServer, resend: Channel
) -> None:
    shop.dormant(3)
    server._faults = lambda _: AN_HOUR
    job = shop.job()
    shop.decide(resend, job)
    with pytest.raises(SendInterrupted) as caught:
        Sender(job, 0, resend).run()
    assert caught.value.retry_after is not None
    assert 3500 < caught.value.retry_after < 3600 * 1.3
    assert shop.statuses() == {"queued": 3}


def test_an_orphan_sends_nothing_and_gives_its_batch_back(shop: Shop, server: ResendServer, resend: Channel) -> None:
    shop.dormant(3)
    job = shop.job()
    shop.decide(resend, job)
    answers = iter([True, False, False])  # the supervisor is killed while the sender waits for its turn
    with pytest.raises(SendInterrupted, match="supervisor"):
        Sender(job, 0, resend, alive=lambda: next(answers)).run()
    assert server.requests == []
    assert shop.statuses() == {"queued": 3}
    assert Sender(job, 0, resend).run().sent == 3  # at once: nobody waits for a lease


def test_an_account_that_is_refused_stops_at_once_and_says_what_to_mend(
    shop: Shop, server: ResendServer, resend: Channel, caplog: pytest.LogCaptureFixture
) -> None:
    shop.dormant(350)
    server._faults = lambda request: "unverified_domain" if request.number > 1 else None
    job = shop.job()
    shop.decide(resend, job)
    with caplog.at_level(logging.INFO), pytest.raises(AccountError, match="domain is verified"):
        Sender(job, 0, resend).run()
    assert len(server.requests) in (2, 3)  # after the one that was taken, two calls are on their way at a time
    assert shop.statuses() == {"sent": 100, "queued": 250}
    assert "send: 100 sent, 0 failed, 0 uncertain" in caplog.text
    with pytest.raises(RunDoesNotAddUp, match=r"250 queued; .* last answer: validation_error [12]\d0; failed"):
        report(job, ["send_0"])
    server._faults = None
    Sender(job, 0, resend).run()
    assert report(job).statuses == {"sent": 350}
    assert mailed(server) == everybody(350)


def test_report_names_every_cause_also_beside_on_sent(shop: Shop, server: ResendServer, resend: Channel) -> None:
    shop.dormant(150)
    server._faults = lambda request: "bad_key" if request.number > 1 else None
    job = with_on_sent(shop.job(), "UPDATE users SET nothing = true FROM sent WHERE users.id = sent.id")
    shop.decide(resend, job)
    with pytest.raises(AccountError):
        Sender(job, 0, resend).run()
    with pytest.raises(RunDoesNotAddUp, match=r"50 queued.*invalid_api_key 50; failed: send_0; on_sent failed"):
        report(job, ["send_0"])


def test_a_mistake_of_ours_in_one_loop_keeps_no_other_from_its_upkeep(
    shop: Shop, server: ResendServer, resend: Channel
) -> None:
    shop.dormant(2)
    job = shop.job()
    shop.decide(resend, job)
    broken = replace(job, step=job.step.model_copy(update={"on_sent": 7}))  # no text, as no loader would let through
    told: list[int] = []
    kept = upkeep(shop.ledger, shop.settings, [broken, job], same(resend), tell=lambda _, sent: told.append(sent.sent))
    assert mailed(server) == everybody(2)
    assert told == [2]
    assert kept.sent == 2


def test_on_sent_alone_keeps_its_own_words(shop: Shop, server: ResendServer, resend: Channel) -> None:
    shop.dormant(1)
    with pytest.raises(QueryError, match="the mail has left"):
        shop.run(resend, with_on_sent(shop.job(), "UPDATE users SET nothing = true FROM sent WHERE users.id = sent.id"))


def test_report_names_the_ceiling_and_the_stop_that_hold_mail_back(
    shop: Shop, server: ResendServer, resend: Channel
) -> None:
    shop.dormant(2)
    server._faults = lambda _: "error_after"
    job = shop.job()
    with pytest.raises(SendInterrupted):
        shop.run(resend, job)
    control.stop(shop.ledger, control.ALL, "ada")
    lowered = replace(job, settings=replace(job.settings, max_mode=Mode.SHADOW))
    with pytest.raises(RunDoesNotAddUp, match=r"max_mode is shadow, so nothing live is sent; the loop is stopped"):
        report(lowered)
