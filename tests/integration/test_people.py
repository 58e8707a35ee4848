"""`forget` and `export`: one person, everywhere in the ledger, whatever state their mail is in."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime
from threading import Event
from time import sleep
from typing import Any

import pytest

from skene_airflow.channels import Channel
from skene_airflow.cli import main
from skene_airflow.errors import AccountError, SendInterrupted
from skene_airflow.ledger import Ledger, events, people, suppressions
from skene_airflow.ledger.claims import Claim
from skene_airflow.ledger.packed import unpack
from skene_airflow.stages.evaluate import evaluate
from skene_airflow.stages.report import report
from skene_airflow.stages.segment import segment
from skene_airflow.stages.send import Sender
from skene_airflow.testing import ResendServer
from tests.integration.shop import LOOP, Shop, everybody, mailed

ADA = ("user1@example.com", "User 1")
BY_SPELL = LOOP + "entry: {per: [last_activity_at, name]}\n"


def everything(shop: Shop) -> str:
    """Every row of every table of the ledger, bodies unpacked, as text."""
    tables = shop.sql("SELECT relname FROM pg_class WHERE relnamespace = 'skene'::regnamespace AND relkind = 'r'")
    found = [str(row) for table in tables for row in shop.sql(f"SELECT * FROM skene.{table['relname']}")]
    return "\n".join([*found, *frozen(shop)])


def frozen(shop: Shop) -> list[str]:
    return [unpack(row["body"]).decode() for row in shop.sql("SELECT body FROM skene.batches WHERE body IS NOT NULL")]


def nothing_of(shop: Shop, *words: str) -> bool:
    held = everything(shop)
    assert "user2@example.com" in held, "what is searched must be there for others"
    return not [word for word in words if f"{word}'" in held or f'{word}"' in held]


def test_a_person_is_gone_and_is_not_mailed_again(
    shop: Shop, server: ResendServer, resend: Channel, capsys: pytest.CaptureFixture[str]
) -> None:
    shop.dormant(3)
    run = shop.job(loop=shop.loop(BY_SPELL))
    shop.run(resend, run)
    assert not nothing_of(shop, *ADA)
    assert main(["forget", "--user", "1", "--ledger", shop.uri, "--actor", "bob", "--reason", "asked a@b.example"]) == 0
    assert "1 delivery erased" in capsys.readouterr().out
    assert nothing_of(shop, *ADA)
    # Nothing leads from the key to the address any more, not even its hash; an old link acts on the key.
    assert shop.sql("SELECT address_hmac FROM skene.deliveries WHERE user_key = '1'") == [{"address_hmac": b""}]
    [mail] = shop.sql("SELECT delivery_id FROM skene.deliveries WHERE user_key = '1'")
    assert suppressions.say(shop.ledger, mail["delivery_id"], {"marketing"})
    linked = shop.sql("SELECT 1 FROM skene.suppressions WHERE user_key IS NOT NULL AND address_hmac IS NOT NULL")
    assert linked == []
    # The run still adds up, and is still the person's by key.
    assert report(run).statuses == {"sent": 3}
    [row] = shop.sql("SELECT status, segment, sent_at IS NOT NULL AS sent FROM skene.deliveries_v WHERE user_key = '1'")
    assert tuple(row.values()) == ("sent", "all", True)
    # Not under the same key, not from another loop, not by a new address, and not by a new key with the old address.
    shop.sql("INSERT INTO users SELECT 9, ' USER1@example.com', name, last_activity_at FROM users WHERE id = 1")
    for name in ("another", "one_more"):
        done = shop.run(resend, shop.job(loop=shop.loop("class: transactional\n" + LOOP, name=name)))
        assert done.verdicts["skip"] == {"suppressed": 2}
        shop.sql("UPDATE users SET email = 'new@example.com' WHERE id = 1")
    assert mailed(server) == everybody(3) + everybody(2, first=2) + everybody(2, first=2)
    rows = shop.sql(
        "SELECT user_key, scope, address_hmac IS NULL AS key FROM skene.suppressions WHERE reason = 'erased'"
    )
    assert sorted((row["user_key"], row["scope"], row["key"]) for row in rows if row["key"]) == [("1", "all", True)]
    assert [row["user_key"] for row in rows if not row["key"]] == [None]
    [told] = shop.sql("SELECT actor, details FROM skene.audit WHERE action = 'forget'")
    assert (told["actor"], told["details"]["user"]) == ("bob", "1")
    assert "a@b.example" not in str(told)


def test_queued_mail_does_not_leave_and_a_frozen_request_is_made_anew(
    shop: Shop, server: ResendServer, resend: Channel
) -> None:
    shop.dormant(3)
    job = shop.job()
    shop.decide(resend, job)
    server._faults = lambda _: "bad_key"
    with pytest.raises(AccountError):
        Sender(job, 0, resend).run()
    server._faults = None
    assert ADA[0] in frozen(shop)[0]
    before = shop.sql("SELECT idem_key FROM skene.batches")
    done = people.forget(shop.ledger, "1", "bob")
    assert (done.cancelled, done.in_doubt) == (1, 0)
    assert nothing_of(shop, *ADA)
    assert not frozen(shop)
    Sender(job, 0, resend).run()
    assert mailed(server) == everybody(2, first=2)
    assert before != shop.sql("SELECT idem_key FROM skene.batches")
    assert report(job).statuses == {"sent": 2, "cancelled": 1}


def test_a_call_in_doubt_stays_as_it_is_until_it_is_known_how_it_ended(
    shop: Shop, server: ResendServer, resend: Channel
) -> None:
    shop.dormant(3)
    job = shop.job()
    shop.decide(resend, job)
    server._faults = lambda _: "error_after"
    with pytest.raises(SendInterrupted):
        Sender(job, 0, resend, alive=lambda: not server.requests).run()
    server._faults = None
    done = people.forget(shop.ledger, "1", "bob")
    assert (done.cancelled, done.in_doubt) == (0, 1)
    # Only the request itself still has them: another body under the same key would be refused, or mail everybody twice.
    assert [ADA[0] in body for body in frozen(shop)] == [True]
    assert shop.sql("SELECT address, vars FROM skene.deliveries WHERE user_key = '1'") == [
        {"address": None, "vars": None}
    ]
    shop.sql("UPDATE skene.batches SET next_at = NULL")
    Sender(job, 0, resend).run()
    assert len({request.body for request in server.requests}) == 1
    assert mailed(server) == everybody(3)
    assert report(job).statuses == {"sent": 3}
    assert nothing_of(shop, *ADA)


def test_a_call_under_way_that_ends_in_a_definite_no_is_made_anew(
    shop: Shop, server: ResendServer, resend: Channel
) -> None:
    shop.dormant(3)
    job = shop.job()
    shop.decide(resend, job)
    seen: list[int] = []

    def forgets(_: object) -> str:
        with closing(Ledger(shop.connect)) as elsewhere:
            seen.append(people.forget(elsewhere, "1", "bob").in_doubt)
        return "bad_key"

    server._faults = forgets
    with pytest.raises(AccountError):
        Sender(job, 0, resend).run()
    server._faults = None
    assert seen == [1]
    Sender(job, 0, resend).run()
    assert mailed(server) == everybody(2, first=2)
    assert nothing_of(shop, *ADA)
    assert report(job).statuses == {"sent": 2, "cancelled": 1}


def test_whoever_waits_to_be_judged_is_taken_out_and_the_run_adds_up(
    shop: Shop, server: ResendServer, resend: Channel
) -> None:
    shop.dormant(3)
    job = shop.job()
    evaluate(job)
    assert not nothing_of(shop, *ADA)
    assert people.forget(shop.ledger, "1", "bob").staged == 1
    assert nothing_of(shop, *ADA)
    segment(job, resend)
    Sender(job, 0, resend).run()
    assert report(job).candidates == 2
    assert mailed(server) == everybody(2, first=2)
    # Staged after it: judged as suppressed, also under another key.
    shop.sql("INSERT INTO users SELECT 9, 'User1@example.com', name, last_activity_at FROM users WHERE id = 1")
    assert shop.run(resend, shop.job(loop=shop.loop(name="another"))).verdicts["skip"] == {"suppressed": 2}


def test_a_claim_that_is_under_way_is_waited_for(
    shop: Shop, server: ResendServer, resend: Channel, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.dormant(3)
    job = shop.job()
    evaluate(job)
    claimed, commit = Event(), Claim.commit

    def held_up(self: Claim, *facts: Any) -> Any:
        run = commit(self, *facts)
        claimed.set()
        waits = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        while not shop.sql(waits):
            sleep(0.05)
        return run

    monkeypatch.setattr(Claim, "commit", held_up)
    with ThreadPoolExecutor(1) as pool, closing(Ledger(shop.connect)) as elsewhere:
        judged = pool.submit(segment, job, resend)
        assert claimed.wait(60)
        done = people.forget(elsewhere, "1", "bob")
        assert judged.result().verdicts["send"] == 3  # it could not know
    assert (done.staged, done.cancelled) == (0, 1)
    assert nothing_of(shop, *ADA)
    Sender(job, 0, resend).run()
    assert mailed(server) == everybody(2, first=2)
    assert report(job).statuses == {"sent": 2, "cancelled": 1}


def test_a_mailbox_is_forgotten_for_everybody_who_had_it(shop: Shop, server: ResendServer, resend: Channel) -> None:
    shop.dormant(2)
    shop.run(resend)
    shop.sql("INSERT INTO users SELECT 9, 'User1@example.com', 'Bea', last_activity_at FROM users WHERE id = 1")
    job = shop.job(loop=shop.loop(name="another"))
    shop.sql("DELETE FROM users WHERE id = 1")
    shop.decide(resend, job)
    done = people.forget(shop.ledger, "1", "bob")
    assert (done.addresses, done.cancelled) == (1, 1)
    assert nothing_of(shop, *ADA, "User1@example.com", "Bea")
    assert {row["user_key"] for row in shop.sql("SELECT user_key FROM skene.suppressions")} == {"1", None}


def test_a_key_that_is_an_address_is_erased_as_well(shop: Shop, server: ResendServer, resend: Channel) -> None:
    shop.dormant(2)
    by_address = "user: {key: email}\n"
    run = shop.job(loop=shop.loop(by_address + LOOP))
    shop.run(resend, run)
    people.export(shop.ledger, ADA[0], "bob")
    for _ in range(2):
        people.forget(shop.ledger, ADA[0], "bob")
        assert nothing_of(shop, *ADA)
    assert report(run).statuses == {"sent": 2}
    funnel = shop.sql("SELECT candidates, sent FROM skene.funnel_v")
    assert funnel == [{"candidates": 2, "sent": 2}]
    again = shop.run(resend, shop.job(loop=shop.loop(by_address + LOOP)))
    assert again.verdicts["skip"] == {"already_entered": 1, "suppressed": 1}
    assert nothing_of(shop, ADA[1])


def test_who_was_never_mailed_can_be_forgotten_too_and_who_comes_back_let_in(
    shop: Shop, server: ResendServer, resend: Channel, capsys: pytest.CaptureFixture[str]
) -> None:
    shop.dormant(1)
    forget = ["forget", "--user", "77", "--address", "USER1@example.com", "--format", "json", "--ledger", shop.uri]
    for _ in range(2):
        assert main(forget) == 0
        told = json.loads(capsys.readouterr().out)
        assert (told["user"], told["addresses"], told["deliveries"]) == ("77", 1, 0)
    assert len(shop.sql("SELECT * FROM skene.suppressions")) == 2
    assert shop.run(resend).verdicts["skip"] == {"suppressed": 1}
    lift = ["suppressions", "remove", "--address", "user1@example.com", "--reason", "signed up", "--ledger", shop.uri]
    assert main(lift) == 0
    assert shop.run(resend).verdicts["skip"] == {"suppressed": 1}
    assert main([*lift, "--erased"]) == 0
    shop.run(resend)
    assert mailed(server) == everybody(1)
    assert main(["forget", "--user", " ", "--ledger", shop.uri]) == 2
    for text in ("ada", "a@b.example, c@d.example", "Ada Lovelace"):
        assert main(["forget", "--user", "5", "--address", text, "--ledger", shop.uri]) == 2
        assert main(["suppressions", "add", "--address", text, "--reason", "x", "--ledger", shop.uri]) == 2
    named = ["--address", "Ada <ADA@example.com>", "--reason", "x", "--ledger", shop.uri]
    assert main(["suppressions", "add", *named]) == 0
    capsys.readouterr()
    assert main(["suppressions", "remove", "--address", "ada@example.com", "--reason", "x", "--ledger", shop.uri]) == 0
    assert capsys.readouterr().out == "1 suppression removed\n"


def test_an_export_holds_everything_of_one_person(
    shop: Shop, server: ResendServer, resend: Channel, capsys: pytest.CaptureFixture[str]
) -> None:
    shop.dormant(2)
    shop.run(resend)
    evaluate(shop.job(loop=shop.loop(name="another")))
    [row] = shop.sql("SELECT delivery_id, address FROM skene.deliveries WHERE user_key = '1'")
    events.hear(shop.ledger, complaint(row))
    assert main(["export", "--user", "1", "--ledger", shop.uri, "--actor", "bob"]) == 0
    out = capsys.readouterr().out
    held = json.loads(out)
    [delivery] = held["deliveries"]
    assert (delivery["address"], delivery["vars"]["name"], delivery["status"]) == (*ADA, "sent")
    assert [each["verdict"] for each in held["decisions"]] == ["send"]
    assert [each["type"] for each in held["events"]] == ["email.complained"]
    assert [(each["scope"], each["reason"]) for each in held["suppressions"]] == [("marketing", "complained")]
    assert [(each["loop_id"], each["address"]) for each in held["staged"]] == [("another", ADA[0])]
    assert "user2" not in out
    [told] = shop.sql("SELECT actor, details FROM skene.audit WHERE action = 'export'")
    assert (told["actor"], told["details"]["user"]) == ("bob", "1")
    assert main(["export", "--user", "1", "--ledger", shop.uri, "--format", "text"]) == 0
    assert f"address: {ADA[0]}" in capsys.readouterr().out
    assert main(["export", "--user", "nobody", "--ledger", shop.uri]) == 0
    assert json.loads(capsys.readouterr().out)["deliveries"] == []
    # Forgotten, there is nothing left to export but keys, states and times.
    people.forget(shop.ledger, "1", "bob")
    assert main(["export", "--user", "1", "--ledger", shop.uri]) == 0
    out = capsys.readouterr().out
    assert not [word for word in ADA if f'"{word}"' in out]


def test_every_table_is_one_that_forgetting_knows(shop: Shop) -> None:
    """A new table that holds something of a person fails here until `forget` and `export` know it."""
    shop.ledger.migrate()
    tables = shop.sql("SELECT relname FROM pg_class WHERE relnamespace = 'skene'::regnamespace AND relkind = 'r'")
    personal = {"deliveries", "decisions", "batches", "events", "suppressions", "audit", "stage", "goals", "inbox"}
    other = {"meta", "runs", "templates", "stops", "rate_limits", "migrations", "goal_looks", "taken_events"}
    assert {row["relname"] for row in tables} == personal | other


def complaint(row: dict[str, object]) -> events.Told:
    return events.Told(
        provider="resend", event_id="m1", type="email.complained", at=datetime.now(UTC), kind="complained",
        message_id="e1", delivery_id=int(str(row["delivery_id"])), loop_id="re_engagement", step_id="main",
        address=str(row["address"]),
    )  # fmt: skip
