"""Rows that changed, from Hasura's call to the mail: real HTTP, a real ledger, the provider's double."""

from __future__ import annotations

import json
import random
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta

import httpx
import psycopg
import pytest

from skene_airflow.channels import Channel
from skene_airflow.errors import QueryError
from skene_airflow.ledger import Ledger, changes, control, people
from skene_airflow.stages.evaluate import evaluate
from skene_airflow.stages.job import Job
from skene_airflow.stages.segment import segment
from skene_airflow.testing import ResendServer
from tests.integration.changing import SECRET, TEMPLATE, WELCOME, call, come, due, post, serving, welcome
from tests.integration.shop import Shop, everybody, mailed


@pytest.fixture
def site(shop: Shop) -> Iterator[str]:
    shop.ledger.migrate()
    shop.template(TEMPLATE, "welcome.html")
    with serving(shop) as url:
        yield url


def test_whoever_is_inserted_is_mailed_once_though_each_call_comes_five_times_and_in_any_order(
    shop: Shop, site: str, resend: Channel, server: ResendServer
) -> None:
    calls = come(shop, 40) * 5
    random.Random(7).shuffle(calls)
    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(lambda body: post(site, body), calls)) == {200}
    assert shop.sql("SELECT count(*) AS n FROM skene.events") == [{"n": 40}]
    report = shop.run(resend, welcome(shop))
    assert (report.candidates, mailed(server)) == (40, everybody(40))
    assert {post(site, body) for body in calls[:20]} == {200}
    assert shop.run(resend, welcome(shop)).candidates == 0
    assert mailed(server) == everybody(40)


def test_only_who_has_the_secret_is_believed_and_what_is_no_change_is_refused(shop: Shop, site: str) -> None:
    [body] = come(shop, 1)
    for secret in ("", "wrong", SECRET[:-1], SECRET + " x", "ä"):
        assert httpx.post(site, json=body, headers=[(b"X-Skene-Secret", secret.encode())]).status_code == 401
    assert httpx.post(site, json=body).status_code == 401
    assert post(f"{site}/another", body) == 401
    assert httpx.get(site).status_code == 405
    half = json.dumps(call(new={"a": "HALF"})).replace("HALF", "\\ud800")
    wrongs: list[object] = [[], {}, {**body, "id": None}, {**body, "id": "x" * 300}, {**body, "created_at": "soon"}]
    wrongs += [{**body, "table": "users"}, {**body, "event": {"op": "TRUNCATE", "data": {"new": {}}}}]
    wrongs += [call(new=None), call(new=[1]), call(new={"a": "\0"}), call(new={}, old=3)]
    for wrong in wrongs:
        assert post(site, wrong) == 400, wrong
    for raw in (half.encode(), b"", b"\xff", b'{"a": NaN}', b"[" * 100_000):
        assert httpx.post(site, content=raw, headers={"X-Skene-Secret": SECRET}).status_code == 400
    assert post(site, call(new={"a": "x" * 300_000})) == 413
    assert shop.sql("SELECT count(*) AS n FROM skene.events") == [{"n": 0}]
    assert post(site, body, "an older secret") == 200
    assert post(f"{site}/hasura_default", body) == 200
    assert shop.sql("SELECT provider, type, changed FROM skene.events") == [
        {"provider": "hasura", "type": "insert", "changed": "public.users"}
    ]


def test_a_number_arrives_as_it_was_written(shop: Shop, site: str) -> None:
    row = '{"id": 12345678901234567890.1234567890123456789, "name": "Zoë \\ud83d\\ude00"}'
    text = json.dumps(call(new="ROW")).replace('"ROW"', row)
    assert httpx.post(site, content=text.encode(), headers={"X-Skene-Secret": SECRET}).status_code == 200
    [found] = shop.sql("SELECT new ->> 'id' AS id, new ->> 'name' AS name FROM skene.events")
    assert found == {"id": "12345678901234567890.1234567890123456789", "name": "Zoë 😀"}


def test_the_ledger_going_away_is_a_503_and_the_same_call_is_taken_later(shop: Shop, site: str) -> None:
    [body] = come(shop, 1)
    shop.sql("ALTER TABLE skene.events RENAME TO away")
    assert post(site, body) == 503
    shop.sql("ALTER TABLE skene.away RENAME TO events")
    shop.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
             " AND datname = current_database()")  # fmt: skip
    assert post(site, body) == 200


def test_a_restart_between_calls_loses_and_doubles_nothing(shop: Shop, resend: Channel, server: ResendServer) -> None:
    shop.ledger.migrate()
    shop.template(TEMPLATE, "welcome.html")
    calls = come(shop, 30)
    for start in range(0, 30, 10):
        with serving(shop) as url:
            for body in calls[: start + 10]:
                assert post(url, body) == 200
    shop.run(resend, welcome(shop))
    assert mailed(server) == everybody(30)


def test_the_condition_sees_typed_columns_and_what_was_and_is(
    shop: Shop, site: str, resend: Channel, server: ResendServer
) -> None:
    shop.sql(
        "CREATE TABLE orders (id uuid PRIMARY KEY, user_id bigint REFERENCES users, paid numeric, op text, tags text[])"
    )
    shop.dormant(3)
    text = """\
type: test
opinion: A paid order is thanked for
entry: {per: [order_id]}
steps:
  - trigger: {type: database, table: public.orders, event: [insert, update, delete]}
    condition: |
      SELECT u.*, e.id AS order_id, e.paid + 0.05 AS total, e.op AS what, e.old ->> 'paid' AS before
      FROM event e JOIN users u ON u.id = e.user_id
      WHERE e.paid > 1 AND 'gift' = ANY (e.tags) AND (e.op <> 'update' OR (e.new ->> 'op') = 'ship')
    action:
      type: email
      template: thanks
      personalization: {text: "{{ user.total }} {{ user.what }} {{ user.before or 'nothing' }}"}
"""
    shop.template("---\nsubject: Thanks\n---\n<p>{{ text }}</p>\n", "thanks.html")
    row = {"user_id": 1, "paid": 9.95, "op": "ship", "tags": ["gift", "a,b"]}
    one, two, three, four = (str(uuid.uuid4()) for _ in range(4))
    for body in (
        call("INSERT", {**row, "id": one}, None, "orders"),
        call("UPDATE", {**row, "id": two, "user_id": 2}, {**row, "id": two, "paid": 1}, "orders"),
        call("UPDATE", {**row, "id": three, "op": "hold"}, {**row, "id": three}, "orders"),
        call("DELETE", None, {**row, "id": four, "user_id": 3}, "orders"),
        call("MANUAL", {**row, "id": three}, None, "orders"),
        call("INSERT", {**row, "id": 4}, None, "others"),
    ):
        assert post(site, body) == 200
    report = shop.run(resend, welcome(shop, text, "thanks"))
    assert report.candidates == 3
    said = {mail.to: (mail.mail or {})["text"].strip().splitlines()[0] for mail in server.accepted}
    assert said == {
        "user1@example.com": "10.00 insert nothing",
        "user2@example.com": "10.00 update 1",
        "user3@example.com": "10.00 delete 9.95",
    }
    assert shop.sql("SELECT person_columns FROM skene.runs") == [{"person_columns": ["user_id"]}]


def test_two_loops_on_one_table_both_get_each_change_and_a_shadow_run_takes_none(
    shop: Shop, site: str, resend: Channel, server: ResendServer
) -> None:
    for body in come(shop, 3):
        post(site, body)
    for _ in range(2):
        loop = shop.loop(WELCOME, "welcome")
        shadow = shop.run(resend, shop.job({}, loop=loop, run_type="manual"))
        assert (shadow.mode, shadow.verdicts["send"]) == ("shadow", 3)
    assert shop.sql("SELECT count(*) AS n FROM skene.taken_events") == [{"n": 0}]
    for name in ("welcome", "hello"):
        assert shop.run(resend, welcome(shop, name=name)).verdicts["send"] == 3
    assert set(mailed(server).values()) == {2}


def test_a_change_stays_due_while_its_person_has_to_wait_and_the_others_are_not_mailed_again(
    shop: Shop, site: str, resend: Channel, server: ResendServer
) -> None:
    text = WELCOME + "entry: each_run\nquiet_hours: {from: '21:00', to: '08:00'}\n"
    for body in come(shop, 4):
        post(site, body)
    shop.sql("UPDATE users SET timezone = CASE WHEN id IN (2, 3) THEN %s ELSE %s END", zone_at(2), zone_at(13))
    report = shop.run(resend, welcome(shop, text))
    assert report.verdicts == {"send": 2, "hold_out": 0, "skip": {"quiet_hours": 2}}
    assert due(shop, welcome(shop, text)) == 2
    shop.sql("UPDATE users SET timezone = %s", zone_at(13))
    assert shop.run(resend, welcome(shop, text)).verdicts["send"] == 2
    assert mailed(server) == everybody(4)
    assert due(shop, welcome(shop, text)) == 0


def zone_at(hour: int) -> str:
    """A zone where it is about that hour now; the sign in these names is the wrong way round."""
    ahead = (hour - datetime.now(UTC).hour + 12) % 24 - 12
    return f"Etc/GMT{-ahead:+d}"


def test_who_is_not_there_yet_is_asked_for_again_until_the_change_is_too_old(
    shop: Shop, site: str, resend: Channel, server: ResendServer
) -> None:
    post(site, call(new={"id": 5, "email": "user5@example.com"}))
    assert shop.run(resend, welcome(shop)).candidates == 0
    assert due(shop) == 1
    shop.dormant(1, 5)
    assert shop.run(resend, welcome(shop)).candidates == 1
    assert due(shop) == 0
    post(site, call(new={"id": 6}))
    shop.sql("UPDATE skene.events SET received_at = received_at - interval '25 hours'")
    shop.dormant(1, 6)
    assert shop.run(resend, welcome(shop)).candidates == 0
    assert due(shop) == 0


def test_a_retry_judges_the_same_rows_and_what_came_meanwhile_waits_for_the_next_run(
    shop: Shop, site: str, resend: Channel, server: ResendServer
) -> None:
    for body in come(shop, 2):
        post(site, body)
    job = welcome(shop)
    assert evaluate(job).rows == 2
    for body in come(shop, 2, 3):
        post(site, body)
    assert evaluate(job).rows == 2
    assert segment(job, resend).verdicts["send"] == 2
    assert due(shop) == 2
    assert shop.run(resend, welcome(shop)).verdicts["send"] == 2


def test_a_change_that_commits_late_with_a_lower_number_is_not_lost(
    shop: Shop, site: str, resend: Channel, server: ResendServer
) -> None:
    [late, early] = come(shop, 2)
    with psycopg.connect(shop.uri) as slow:
        slow.execute(
            "INSERT INTO skene.events (provider, event_id, type, at, changed, new)"
            " VALUES ('hasura', %s, 'insert', now(), 'public.users', %s)",
            [late["id"], json.dumps(late["event"]["data"]["new"])],
        )
        post(site, early)
        assert shop.run(resend, welcome(shop)).candidates == 1
    assert shop.run(resend, welcome(shop)).candidates == 1
    assert mailed(server) == everybody(2)


def test_a_run_that_died_before_it_judged_leaves_its_changes_to_the_next(
    shop: Shop, site: str, resend: Channel, server: ResendServer
) -> None:
    for body in come(shop, 3):
        post(site, body)
    dead = welcome(shop)
    evaluate(dead)
    assert shop.run(resend, welcome(shop)).verdicts["send"] == 3
    assert segment(dead, resend).verdicts["skip"] == {"already_entered": 3}
    assert mailed(server) == everybody(3)


def test_stop_keeps_changes_due_before_and_after_the_claim_and_start_gives_them_back(
    shop: Shop, site: str, resend: Channel, server: ResendServer
) -> None:
    [first, second] = come(shop, 2)
    post(site, first)
    job = welcome(shop)
    evaluate(job)
    segment(job, resend)  # claimed and queued
    control.stop(shop.ledger, "welcome", "a test")
    post(site, second)
    assert shop.run(resend, welcome(shop)).verdicts["skip"] == {"stopped": 1}
    assert not server.accepted
    control.start(shop.ledger, "welcome", "a test")
    assert due(shop) == 2
    assert shop.run(resend, welcome(shop)).verdicts["send"] == 2
    assert mailed(server) == everybody(2)


def test_a_brake_keeps_changes_due_until_it_is_released(
    shop: Shop, site: str, resend: Channel, server: ResendServer
) -> None:
    text = WELCOME + "guard: {max: 2}\n"
    for body in come(shop, 3):
        post(site, body)
    assert shop.decide(resend, welcome(shop, text)).verdicts["skip"] == {"held": 3}
    assert due(shop, welcome(shop, text)) == 3
    loop = shop.loop(text, "welcome")
    conf = {"mode": "live", "release": ["max"]}
    assert shop.run(resend, shop.job(conf, loop=loop)).verdicts["send"] == 3
    assert due(shop, welcome(shop, text)) == 0


def test_people_whom_no_change_names_settle_the_changes_of_their_run(
    shop: Shop, site: str, resend: Channel, server: ResendServer
) -> None:
    shop.sql("CREATE TABLE teams (id text PRIMARY KEY, owner_mail text)")
    text = WELCOME.replace("table: users", "table: teams").replace(
        "    action", "    condition: SELECT u.* FROM users u JOIN event e ON e.owner_mail = u.email\n    action"
    )
    shop.dormant(2)
    for number in (1, 2):
        post(site, call(new={"id": f"t{number}", "owner_mail": f"user{number}@example.com"}, table="teams"))
    assert shop.run(resend, welcome(shop, text + "entry: each_run\n")).verdicts["send"] == 2
    assert shop.run(resend, welcome(shop, text + "entry: each_run\n")).candidates == 0


def test_erasing_keeps_the_number_so_that_a_change_told_again_is_not_new(
    shop: Shop, site: str, resend: Channel
) -> None:
    [body] = come(shop, 1)
    post(site, body)
    shop.run(resend, welcome(shop))
    assert changes.erase(shop.ledger, 30, timedelta(days=1)) == 0
    shop.sql("UPDATE skene.events SET received_at = received_at - interval '31 days'")
    assert changes.erase(shop.ledger, 30, timedelta(days=40)) == 0
    assert changes.erase(shop.ledger, 30, timedelta(days=1)) == 1
    post(site, body)
    assert shop.sql("SELECT old, new FROM skene.events") == [{"old": None, "new": None}]
    assert shop.sql("SELECT count(*) AS n FROM skene.taken_events") == [{"n": 0}]


def test_the_words_for_a_missing_table_and_for_a_source_that_may_not_write(shop: Shop, site: str) -> None:
    text = WELCOME.replace("table: users", "table: nowhere").replace(
        "    action", "    condition: SELECT u.* FROM users u JOIN event e ON true\n    action"
    )
    with pytest.raises(QueryError, match=r"trigger's table public.nowhere failed.*does not exist"):
        evaluate(welcome(shop, text))
    shop.sql("CREATE ROLE reader LOGIN")
    shop.sql("GRANT SELECT ON users TO reader")
    shop.sql("DO $$ BEGIN EXECUTE 'REVOKE TEMPORARY ON DATABASE ' || current_database() || ' FROM PUBLIC'; END $$")
    loop = shop.loop(WELCOME, "welcome")
    job = shop.job({}, loop=loop, run_type="asset_triggered")
    source = psycopg.conninfo.make_conninfo(shop.uri, user="reader")
    with pytest.raises(QueryError, match="TEMPORARY"):
        evaluate(Job(job.loop, job.step, job.run, job.settings, lambda: psycopg.connect(source), job.ledger))


def test_the_query_cannot_write_though_its_transaction_could(shop: Shop, site: str) -> None:
    shop.sql("CREATE FUNCTION sneak() RETURNS bigint LANGUAGE sql AS 'INSERT INTO users (id) VALUES (99) RETURNING id'")
    text = WELCOME.replace(
        "    action", "    condition: SELECT u.*, sneak() FROM users u LEFT JOIN event e ON true\n    action"
    )
    shop.dormant(1)
    with pytest.raises(QueryError, match="25006"):
        evaluate(welcome(shop, text))


def test_an_event_of_another_source_is_not_ours(shop: Shop, resend: Channel) -> None:
    shop.ledger.migrate()
    shop.template(TEMPLATE, "welcome.html")
    shop.dormant(2)
    for number, source in ((1, "skene_source"), (2, "another_app")):
        told = changes.Told(
            f"e{number}", "insert", datetime.now(UTC), "public.users", json.dumps({"new": {"id": number}})
        )
        with closing(Ledger(shop.connect)) as book:
            assert changes.write(book, "postgres", [told, told], source=source, noted=True) == 1
    assert shop.run(resend, welcome(shop)).candidates == 1


def test_a_person_who_is_forgotten_or_exported_is_looked_for_in_changes_too(shop: Shop, site: str) -> None:
    for body in [*come(shop, 3), call(new={"id": 70, "buyer": " USER2@example.com"}, table="orders")]:
        post(site, body)
    assert [change["new"]["id"] for change in people.export(shop.ledger, "2", "a test")["changes"]] == [2]
    people.forget(shop.ledger, "2", "a test", addresses=["user2@example.com"])
    assert [row["id"] for row in shop.sql("SELECT new ->> 'id' AS id FROM skene.events ORDER BY event_no")] == [
        "1", None, "3", None,
    ]  # fmt: skip
