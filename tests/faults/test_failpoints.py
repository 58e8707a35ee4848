"""A run that ends at every single place where it can end, and is begun again from the start."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from skene_airflow.channels import Channel, ChannelConfig, make_channel
from skene_airflow.errors import RunDoesNotAddUp
from skene_airflow.loop.schema import Loop
from skene_airflow.stages.evaluate import evaluate
from skene_airflow.stages.job import Job
from skene_airflow.stages.report import report
from skene_airflow.stages.segment import segment
from skene_airflow.stages.send import Sender
from skene_airflow.testing import ResendServer
from tests.faults.failpoints import FragileLedger, Killed, Points, fragile_channel
from tests.integration.shop import Shop, everybody
from tests.smtp_server import SmtpServer

PEOPLE = 2
MARK = "UPDATE users u SET re_engagement_sent = true FROM sent WHERE u.id = sent.id"
Taken = Callable[[], Counter[str]]


@contextmanager
def outside(kind: str, tmp_path: Path) -> Iterator[tuple[ChannelConfig, Taken, Callable[[], None]]]:
    """A provider's connection, what it took, and a way to make it forget."""
    if kind == "resend":
        with ResendServer() as server:
            config = ChannelConfig("resend", host=server.url, password="re_test")
            yield config, lambda: Counter(mail.to for mail in server.accepted), server.accepted.clear
    elif kind == "smtp":
        with SmtpServer() as smtp:
            extra = {"disable_tls": True, "disable_ssl": True}
            config = ChannelConfig("smtp", host="127.0.0.1", port=smtp.port, extra=extra)
            yield config, lambda: Counter(mail.recipients[0] for mail in smtp.taken), smtp.taken.clear
    else:
        folder = tmp_path / "outbox"
        yield ChannelConfig("outbox", host=str(folder)), lambda: _files(folder), lambda: shutil.rmtree(folder)


def _files(folder: Path) -> Counter[str]:
    mails = (path.read_text() for path in folder.glob("mails/*/*.eml"))
    return Counter(line[4:] for mail in mails for line in mail.splitlines() if line.startswith("To: "))


def whole_run(job: Job, channel: Channel) -> None:
    """What Airflow would do: all four stages."""
    evaluate(job)
    for shard in segment(job, channel).shards:
        Sender(job, shard, channel, sleep=lambda _: None).run()
    with suppress(RunDoesNotAddUp):  # it says so where a mail is in doubt
        report(job)


def fresh(shop: Shop, loop: Loop) -> Job:
    """Nothing in the ledger, nobody marked, and one more run."""
    shop.sql("TRUNCATE skene.deliveries, skene.batches, skene.decisions, skene.runs")
    shop.sql("UPDATE users SET re_engagement_sent = false")
    job = shop.job(loop=loop)
    step = job.step.model_copy(update={"on_sent": MARK})
    return replace(job, step=step, loop=job.loop.model_copy(update={"steps": (step,)}))


def one_life(shop: Shop, job: Job, config: ChannelConfig, fatal: int) -> Points:
    """A run that ends at the place with this number; at none if there are not so many."""
    points = Points(fatal)
    with (
        suppress(Killed),
        pytest.MonkeyPatch.context() as monkeypatch,
        closing(FragileLedger(lambda: psycopg.connect(shop.uri), points)) as ledger,
        closing(make_channel(config)) as channel,
    ):
        channel.batch_size = 1  # type: ignore[misc]
        whole_run(replace(job, ledger=ledger), fragile_channel(channel, points, monkeypatch))
    return points


@pytest.mark.timeout(300)
@pytest.mark.parametrize("kind", ["resend", "smtp", "outbox"])
def test_a_run_may_end_anywhere(shop: Shop, tmp_path: Path, kind: str) -> None:
    shop.dormant(PEOPLE)
    shop.ledger.migrate()
    loop = shop.loop()
    with outside(kind, tmp_path) as (config, taken, forget):
        places = one_life(shop, fresh(shop, loop), config, fatal=-1).seen
        assert taken() == everybody(PEOPLE)
        assert len(places) >= 30
        for fatal, place in enumerate(places):
            forget()
            job = fresh(shop, loop)
            one_life(shop, job, config, fatal)
            shop.sql("UPDATE skene.batches SET lease_until = now() - interval '1 s' WHERE status = 'sending'")
            one_life(shop, job, config, fatal=-1)
            check(shop, taken(), kind, f"{place} ({fatal} of {len(places)})")


def check(shop: Shop, taken: Counter[str], kind: str, where: str) -> None:
    """Nobody twice, nobody lost; doubt only where the provider cannot be asked, and there to be seen."""
    assert taken - everybody(PEOPLE) == {}, where
    rows = shop.sql("SELECT user_key, status FROM skene.deliveries_v ORDER BY user_key")
    sent = {f"user{row['user_key']}@example.com" for row in rows if row["status"] == "sent"}
    doubt = {f"user{row['user_key']}@example.com" for row in rows if row["status"] == "uncertain"}
    assert sent <= set(taken) <= sent | doubt, where
    assert len(sent) + len(doubt) == PEOPLE, where
    if kind != "smtp":
        assert not doubt, where
    assert len(doubt) <= 1, where
    marked = shop.sql("SELECT id FROM users WHERE re_engagement_sent")
    assert {f"user{row['id']}@example.com" for row in marked} == sent, where
