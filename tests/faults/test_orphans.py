"""A sender lives on beside its retry; many claims race over the same people. Once is still once."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from typing import Any

import pytest

from skene_airflow.channels import Channel, ChannelConfig, make_channel
from skene_airflow.errors import SendInterrupted
from skene_airflow.ledger import Ledger, control
from skene_airflow.nouns import Status, Verdict
from skene_airflow.stages.evaluate import evaluate
from skene_airflow.stages.job import Job
from skene_airflow.stages.report import report
from skene_airflow.stages.segment import segment
from skene_airflow.stages.send import Sender
from skene_airflow.testing import ResendServer
from tests.faults.worlds import scaled
from tests.integration.shop import Shop, everybody, mailed
from tests.smtp_server import SmtpServer

STAGERS = 8


@contextmanager
def orphan(job: Job, make: Callable[[], Channel], connect: Callable[[], Any]) -> Iterator[Callable[[], None]]:
    """A sender that stands still between its lease and its call until it is told to go on (and has ended)."""
    waits, goes = threading.Event(), threading.Event()
    with closing(make()) as channel, closing(Ledger(connect)) as ledger:
        real = channel.send

        def send(body: bytes, key: str) -> Any:
            waits.set()
            assert goes.wait(60)
            return real(body, key)

        channel.send = send  # type: ignore[assignment, method-assign]
        sender = Sender(replace(job, ledger=ledger), 0, channel, alive=lambda: not goes.is_set())

        def run() -> None:
            with suppress(SendInterrupted):
                sender.run()

        thread = threading.Thread(target=run)
        thread.start()

        def go_on() -> None:
            goes.set()
            thread.join(60)
            assert not thread.is_alive()

        try:
            assert waits.wait(60)
            yield go_on
        finally:
            go_on()


def let_leases_run_out(shop: Shop) -> None:
    """As if two minutes had passed."""
    shop.sql("UPDATE skene.batches SET lease_until = now() - interval '1 second' WHERE status = 'sending'")


def test_an_orphan_beside_its_retry_doubles_nothing(shop: Shop, server: ResendServer, resend: Channel) -> None:
    shop.dormant(250)
    job = shop.job()
    shop.decide(resend, job)
    with orphan(job, lambda: make_channel(resend.config), shop.connect) as go_on:
        let_leases_run_out(shop)
        Sender(job, 0, resend).run()
        assert mailed(server) == everybody(250)
        go_on()
    assert mailed(server) == everybody(250)
    assert report(job).statuses == {"sent": 250}


def test_an_orphan_whose_call_comes_first_settles_nothing_twice(
    shop: Shop, server: ResendServer, resend: Channel
) -> None:
    """It answers for the batch that it holds no more; whoever took it over settles it, and once."""
    shop.dormant(100)
    job = shop.job()
    shop.decide(resend, job)
    sent: list[int] = []
    with orphan(job, lambda: make_channel(resend.config), shop.connect) as go_on:
        let_leases_run_out(shop)
        retry = Sender(job, 0, resend)
        held = retry._freezer.next(retry._lane(job.recorded().mode))
        assert held is not None
        go_on()
        assert mailed(server) == everybody(100), "the orphan's call was taken"
        assert shop.sql("SELECT status FROM skene.batches") == [{"status": "sending"}], "the retry's lease stands"
        retry._call(held)
        sent.append(retry.done.sent)
    assert sent == [100]
    assert mailed(server) == everybody(100)


def test_a_batch_under_a_lease_is_left_alone(shop: Shop, server: ResendServer, resend: Channel) -> None:
    shop.dormant(100)
    job = shop.job()
    shop.decide(resend, job)
    with orphan(job, lambda: make_channel(resend.config), shop.connect) as go_on:
        other = Sender(job, 0, resend)
        assert other._freezer.next(other._lane(job.recorded().mode)) is None
        go_on()
    assert len(server.requests) == 1


def test_an_orphan_of_a_provider_without_keys_leaves_doubt_and_no_second_mail(shop: Shop) -> None:
    shop.dormant(3)
    with SmtpServer() as smtp:
        extra = {"disable_tls": True, "disable_ssl": True}
        config = ChannelConfig("smtp", host="127.0.0.1", port=smtp.port, extra=extra)
        with closing(make_channel(config)) as channel:
            job = shop.job()
            shop.decide(channel, job)
            with orphan(job, lambda: make_channel(config), shop.connect) as go_on:
                let_leases_run_out(shop)
                Sender(job, 0, channel).run()
                assert shop.statuses() == {"sent": 2, "uncertain": 1}
                go_on()
        assert Counter(mail.recipients[0] for mail in smtp.taken) == everybody(3)
        assert shop.statuses() == {"sent": 2, "uncertain": 1}, "nobody guesses"


def test_the_bytes_of_a_call_in_doubt_stay_whatever_happens_meanwhile(
    shop: Shop, server: ResendServer, resend: Channel
) -> None:
    """Somebody unsubscribes and the loop is late: the same key still comes with the same bytes."""
    shop.dormant(3)
    server._faults = lambda request: "drop_after" if request.number == 1 else None
    job = shop.job()
    shop.decide(resend, job)

    def meanwhile(_: float) -> None:
        shop.sql(
            "INSERT INTO skene.suppressions (user_key, scope, reason, source)"
            " VALUES ('2', 'all', 'manual', 'test') ON CONFLICT DO NOTHING"
        )
        shop.sql("UPDATE skene.batches SET next_at = NULL, frozen_at = now() - interval '1 hour', expires_at = now()")

    Sender(job, 0, resend, sleep=meanwhile).run()
    assert len(server.requests) == 2
    first, second = server.requests
    assert (first.idem_key, first.body) == (second.idem_key, second.body)
    assert mailed(server) == everybody(3)
    assert report(job).statuses == {"sent": 3}


def test_what_was_cancelled_is_claimed_by_the_next_run(shop: Shop, server: ResendServer, resend: Channel) -> None:
    shop.dormant(5)
    shop.decide(resend, shop.job())
    control.stop(shop.ledger, "re_engagement", "ada")
    control.start(shop.ledger, "re_engagement", "ada")
    assert shop.run(resend).statuses == {"sent": 5}
    assert mailed(server) == everybody(5)


@pytest.mark.timeout(1500)
@pytest.mark.parametrize("isolation", ["read committed", "serializable"])
def test_eight_claims_race_over_the_same_people(
    shop: Shop, server: ResendServer, resend: Channel, isolation: str
) -> None:
    """Whatever isolation the database has by default: each person is claimed by one run, and nobody deadlocks."""
    shop.ledger.migrate()
    database = shop.sql("SELECT current_database() AS name")[0]["name"]
    shop.sql(f"ALTER DATABASE {database} SET default_transaction_isolation = '{isolation}'")
    loop, people, rounds = shop.loop(), 20, scaled(8, 500)
    start = threading.Barrier(STAGERS)

    def one(ledger: Ledger, number: int) -> tuple[int, int]:
        job = replace(shop.job(loop=loop, run_id=f"{number}"), ledger=ledger)
        evaluate(job)
        start.wait(60)
        said = segment(job, resend).verdicts
        return said.get(Verdict.SEND, 0), said.get(Verdict.SKIP, {}).get("already_entered", 0)

    ledgers = [Ledger(shop.connect) for _ in range(STAGERS)]
    with ThreadPoolExecutor(STAGERS) as pool:
        for round_ in range(rounds):
            shop.sql("UPDATE users SET re_engagement_sent = true")
            shop.dormant(people, first=1 + round_ * people)
            said = list(pool.map(one, ledgers, range(round_ * STAGERS, (round_ + 1) * STAGERS)))
            assert sum(sends for sends, _ in said) == people
            assert all(sends + entered == people for sends, entered in said)
    for ledger in ledgers:
        ledger.close()
    Sender(shop.job(loop=loop, run_id="0"), 0, resend).run()
    assert mailed(server) == everybody(people * rounds)
    assert shop.statuses() == {Status.SENT: people * rounds}
