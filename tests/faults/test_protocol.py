"""The sending protocol where it is narrow: turns and leases, pauses a provider asks for, doubt, databases of others."""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import replace
from typing import Any

import psycopg
import pytest

from skene_airflow.channels import Channel, ChannelConfig, make_channel
from skene_airflow.channels.resend import ResendChannel
from skene_airflow.errors import SendInterrupted
from skene_airflow.ledger import Ledger, batches
from skene_airflow.nouns import Answer, Mode
from skene_airflow.stages.send import Sender
from skene_airflow.testing import Reply, ResendServer
from tests.faults.virtual import Virtual
from tests.integration.shop import Shop, everybody, mailed
from tests.smtp_server import ScriptedServer, SmtpServer


def rated(server: ResendServer, rate: str) -> Channel:
    return make_channel(ChannelConfig("resend", host=server.url, password="re_test", extra={"rate": rate}))


def smtp_channel(port: int, **extra: Any) -> Channel:
    extra |= {"disable_tls": True, "disable_ssl": True}
    return make_channel(ChannelConfig("smtp", host="127.0.0.1", port=port, extra=extra))


def default(shop: Shop, name: str, value: str) -> None:
    """What every new session of the test's database begins with."""
    database = shop.sql("SELECT current_database() AS name")[0]["name"]
    shop.sql(f"ALTER DATABASE {database} SET {name} = '{value}'")


def test_a_rate_far_below_a_batch_a_minute_still_gets_through(
    shop: Shop, server: ResendServer, virtual: Virtual
) -> None:
    """A turn too far ahead to wait for must not be reserved: unused turns would push all others back for ever."""
    shop.dormant(600)
    with rated(server, "1") as channel:
        job = shop.job()
        shop.decide(channel, job)
        began = virtual.now
        for shard in (0, 1):
            Sender(job, shard, channel, sleep=virtual.sleep, clock=virtual.clock).run()
    assert mailed(server) == everybody(600)
    assert 450 <= virtual.now - began < 560
    attempts = shop.sql("SELECT max(attempts) AS n FROM skene.batches")
    assert attempts == [{"n": 1}], "nobody leases a batch only to give it back"


def test_a_lease_that_ran_out_while_waiting_for_a_turn_calls_nobody(
    shop: Shop, server: ResendServer, virtual: Virtual
) -> None:
    shop.dormant(100)
    with rated(server, "5") as channel:
        job = shop.job()
        shop.decide(channel, job)
        retry = Sender(job, 0, channel, sleep=virtual.sleep, clock=virtual.clock)
        taken = []

        def sleep(seconds: float) -> None:
            virtual.sleep(seconds + 121)  # the machine was asleep, and the retry of its task is here by now
            taken.append(retry._freezer.next(retry._lane(Mode.LIVE)))

        orphan = Sender(job, 0, channel, sleep=sleep, clock=virtual.clock)
        orphan._pace.turn(100, 45.0)
        held = orphan._freezer.next(orphan._lane(Mode.LIVE))
        assert held is not None
        assert not orphan._send(held, virtual.now)
        assert server.requests == []
        assert taken[0] is not None
        assert retry._send(taken[0], virtual.now)
    assert mailed(server) == everybody(100)


def test_a_long_wait_for_a_turn_renews_the_lease(shop: Shop, server: ResendServer, virtual: Virtual) -> None:
    shop.dormant(100)
    left: list[float] = []
    with rated(server, "3") as channel:
        job = shop.job()
        shop.decide(channel, job)
        sender = Sender(job, 0, channel, sleep=virtual.sleep, clock=virtual.clock)
        sender._pace.turn(100, 45.0)

        def look(_: object) -> None:
            rows = shop.sql("SELECT extract(epoch FROM lease_until - now())::float AS left FROM skene.batches")
            left.extend(row["left"] for row in rows)

        server._faults = look
        sender.run()
    assert 110 < left[0] <= 120
    assert mailed(server) == everybody(100)


def test_a_sender_whose_supervisor_went_while_it_waited_calls_nobody(
    shop: Shop, server: ResendServer, virtual: Virtual
) -> None:
    shop.dormant(200)
    alive = [True]

    def sleep(seconds: float) -> None:
        virtual.sleep(seconds)
        alive[0] = seconds == 0

    with rated(server, "5") as channel:
        job = shop.job()
        shop.decide(channel, job)
        with pytest.raises(SendInterrupted, match="supervisor"):
            Sender(job, 0, channel, alive=lambda: alive[0], sleep=sleep, clock=virtual.clock).run()
    assert len(server.requests) == 1
    assert shop.statuses() == {"sent": 100, "queued": 100}, "its batch is free again, and in no doubt"


def test_retry_after_stops_the_sender_and_not_one_batch_after_the_other(
    shop: Shop, server: ResendServer, resend: Channel, virtual: Virtual
) -> None:
    shop.dormant(1000)
    busy = Reply(429, b'{"name":"rate_limit_exceeded"}', (("retry-after", "30"),))
    server._faults = lambda request: busy if request.number == 1 else None
    job = shop.job()
    shop.decide(resend, job)
    Sender(job, 0, resend, sleep=virtual.sleep, clock=virtual.clock).run()
    first, second = server.requests[0], server.requests[1]
    assert second.at - first.at >= 30
    assert len(server.requests) == 11
    assert mailed(server) == everybody(1000)


def test_a_limit_that_the_provider_tells_is_kept_without_hearing_no(shop: Shop, virtual: Virtual) -> None:
    shop.dormant(600)
    with (
        ResendServer(clock=virtual.clock, rate_limit=2) as server,
        make_channel(ChannelConfig("resend", host=server.url, password="re_test")) as channel,
    ):
        job = shop.job()
        shop.decide(channel, job)
        sent = Sender(job, 0, channel, sleep=virtual.sleep, clock=virtual.clock).run()
        assert sent.errors == {}
        assert len(server.requests) == 6
        assert mailed(server) == everybody(600)


def test_a_provider_that_asks_for_hours_is_left_to_airflows_retry(
    shop: Shop, server: ResendServer, resend: Channel, virtual: Virtual
) -> None:
    shop.dormant(3)
    server._faults = lambda _: Reply(429, b'{"name":"rate_limit_exceeded"}', (("retry-after", "7200"),))
    job = shop.job()
    shop.decide(resend, job)
    began = virtual.now
    with pytest.raises(SendInterrupted):
        Sender(job, 0, resend, sleep=virtual.sleep, clock=virtual.clock).run()
    assert virtual.now - began < 601, "no worker is kept for two hours"
    assert len(server.requests) == 1
    assert shop.statuses() == {"queued": 3}


def test_resend_in_doubt_does_not_mail_for_ever(shop: Shop, virtual: Virtual) -> None:
    """Rather twice than never, but not a hundred times: a server that takes every mail and never says so."""
    shop.dormant(1)
    with SmtpServer(plan={"dot": "take_drop"}) as smtp, smtp_channel(smtp.port, uncertain="resend") as channel:
        job = shop.job()
        shop.decide(channel, job)
        began, real = virtual.now, time.monotonic()  # the ledger feels both, and a busy machine is slow
        Sender(job, 0, channel, sleep=virtual.sleep, clock=virtual.clock).run()
        assert len(smtp.taken) == 1 + batches.MOST_RESENDS
        assert virtual.now - began + time.monotonic() - real >= 2 + 4 + 8 + 16
    assert shop.statuses() == {"uncertain": 1}, "and then a person has to look"


def test_every_transaction_sees_what_others_committed_whatever_the_databases_default(shop: Shop) -> None:
    default(shop, "default_transaction_isolation", "serializable")
    with closing(Ledger(shop.connect)) as ledger, ledger.transaction() as cur:
        cur.execute("SHOW transaction_isolation")
        assert cur.fetchone() == {"transaction_isolation": "read committed"}


@pytest.mark.parametrize(("setting", "meant"), [("off", "on"), ("local", "local"), ("on", "on")])
def test_a_lease_is_on_the_disk_before_the_call(
    shop: Shop, resend: Channel, monkeypatch: pytest.MonkeyPatch, setting: str, meant: str
) -> None:
    """Where the database commits in the background, a crash would forget the lease and the key of a call."""
    default(shop, "synchronous_commit", setting)
    shop.dormant(1)
    job = shop.job()
    shop.decide(resend, job)
    seen = []
    real = batches.lease

    def lease(ledger: Ledger, cur: Any, *facts: Any) -> Any:
        held = real(ledger, cur, *facts)
        cur.execute("SHOW synchronous_commit")
        seen.append(cur.fetchone()["synchronous_commit"])
        return held

    monkeypatch.setattr(batches, "lease", lease)
    with closing(Ledger(shop.connect)) as ledger:
        Sender(replace(job, ledger=ledger), 0, resend).run()
    assert seen == [meant]


def test_what_the_provider_answered_is_written_down_once_the_ledger_is_back(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without it every mail that a server took in that moment would be in doubt for ever."""
    shop.dormant(3)
    down = [0]

    def connect() -> psycopg.Connection[Any]:
        if down[0]:
            down[0] -= 1
            raise psycopg.OperationalError("connection refused")
        return shop.connect()

    with (
        SmtpServer() as smtp,
        smtp_channel(smtp.port) as channel,
        closing(Ledger(connect)) as ledger,
    ):
        job = replace(shop.job(), ledger=ledger)
        shop.decide(channel, job)
        real = channel.send

        def send(body: bytes, key: str) -> Any:
            result = real(body, key)
            shop.sql(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
            down[0] = 2
            return result

        monkeypatch.setattr(channel, "send", send)
        sent = Sender(job, 0, channel, sleep=lambda _: None).run()
        assert len(smtp.taken) == 3
    assert sent.sent == 3
    assert shop.statuses() == {"sent": 3}


def test_a_body_too_long_for_one_call_is_cut_before_it_is_sent(
    shop: Shop, server: ResendServer, resend: Channel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ResendChannel, "most_bytes", 20_000)
    shop.dormant(250)
    shop.sql("UPDATE users SET name = repeat('x', 30000) WHERE id = 7")  # alone, it may be as long as it likes
    assert shop.run(resend).statuses == {"sent": 250}
    assert mailed(server) == everybody(250)
    assert sorted(len(request.body) > 20_000 for request in server.requests)[-2:] == [False, True]
    assert len({request.idem_key for request in server.requests}) == len(server.requests)


def test_an_endless_answer_to_the_dot_is_no_refusal() -> None:
    assert _dialogue(b"250 " + b"x" * 9000 + b"\r\n") is Answer.DOUBT


def test_a_plain_answer_to_the_dot_is_one() -> None:
    assert _dialogue(b"250 taken\r\n") is Answer.ACCEPTED
    assert _dialogue(b"554 no\r\n") is Answer.BAD_LOT


def test_a_server_too_slow_for_the_lease_is_left_before_the_dot() -> None:
    with SmtpServer() as smtp, smtp_channel(smtp.port) as channel:
        ticks = iter(range(0, 1000, 20))
        channel.clock = lambda: float(next(ticks))  # type: ignore[attr-defined]
        assert channel.send(_mail(), "sk/a/b/c").answer is Answer.LATER
        assert smtp.taken == []
        channel.clock = time.monotonic  # type: ignore[attr-defined]
        assert channel.send(_mail(), "sk/a/b/c").answer is Answer.ACCEPTED


def _mail() -> bytes:
    return b"hello@acme.example ada@example.com\r\nSubject: hello\r\n\r\nhello\r\n"


def _dialogue(answer: bytes) -> Answer:
    """What a mail comes to if the server answers its final dot so."""
    says = [b"220 hello\r\n", b"250 mx\r\n", b"250 from\r\n", b"250 to\r\n", b"354 go\r\n"]
    with _Lines(says, answer) as server, smtp_channel(server.port) as channel:
        return channel.send(_mail(), "sk/a/b/c").answer


class _Lines(ScriptedServer):
    """Answers each command, swallows the mail up to its dot, and then says one last thing."""

    def __init__(self, says: list[bytes], last: bytes) -> None:
        self._last = last
        super().__init__(says)

    def _serve(self) -> None:
        connection, _ = self._socket.accept()
        with connection, connection.makefile("rb") as heard:
            for number, line in enumerate(self._lines):
                if number and not heard.readline():
                    return
                connection.sendall(line)
            while heard.readline() not in (b".\r\n", b""):
                continue
            connection.sendall(self._last)
            heard.readline()
