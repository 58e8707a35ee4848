"""Steps that come after another, in whole runs: who is due, when, for which entry, and that nobody is due twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from skene_airflow.errors import QueryError
from skene_airflow.ledger import Ledger
from skene_airflow.nouns import Mode
from skene_airflow.stages import candidates
from skene_airflow.stages.evaluate import evaluate
from skene_airflow.stages.segment import segment
from skene_airflow.stages.send import Sender
from tests.integration.journey import LOOP, Journey, skips
from tests.integration.shop import everybody


@pytest.mark.parametrize("condition", ["", "SELECT * FROM users"])
def test_due_once_the_wait_is_over_and_only_once(journey: Journey, condition: str) -> None:
    journey.write(condition=condition)
    journey.shop.dormant(2)
    assert journey.first().statuses == {"sent": 2}
    journey.days_pass(6.9)
    early = journey.second()
    assert (early.statuses, skips(early)) == ({}, {"not_due": 2} if condition else {})
    journey.days_pass(0.2)
    assert journey.second().statuses == {"sent": 2}
    again = journey.second()
    assert (again.statuses, skips(again)) == ({}, {"already_entered": 2})
    assert journey.seconds() == everybody(2)


@pytest.mark.parametrize(("until", "days", "due"), [("", 36.9, 1), ("", 37.1, 0), (", until: 9d", 9.1, 0)])
def test_nobody_is_due_when_until_has_passed(journey: Journey, until: str, days: float, due: int) -> None:
    journey.write(after=f"wait: 7d{until}")
    journey.shop.dormant(1)
    journey.first()
    journey.days_pass(days)
    assert sum(journey.second().statuses.values()) == due


@pytest.mark.parametrize("status", ["failed", "uncertain", "abandoned", "held_out", "existing", "expired", "cancelled"])
def test_only_what_was_sent_makes_anybody_due(journey: Journey, status: str) -> None:
    journey.write(condition="SELECT * FROM users")
    journey.shop.dormant(2)
    journey.first()
    journey.days_pass(8)
    sql = journey.shop.sql
    sql("ALTER TABLE skene.deliveries DISABLE TRIGGER deliveries_transition")
    gone = ", batch_id = NULL" if status in ("held_out", "existing") else ""
    sql(f"UPDATE skene.deliveries SET status = '{status}', sent_at = NULL{gone} WHERE user_key = '1'")
    outcome = journey.second()
    assert (outcome.statuses, skips(outcome)) == ({"sent": 1}, {"not_due": 1})
    assert journey.seconds() == Counter({"user2@example.com": 1})


def test_a_condition_narrows_who_is_due(journey: Journey) -> None:
    journey.write(condition="SELECT * FROM users WHERE id > 1 AND id < 4")
    journey.shop.dormant(2)
    journey.first()
    journey.days_pass(8)
    journey.shop.dormant(2, first=3)
    outcome = journey.second()
    assert (outcome.candidates, skips(outcome)) == (2, {"not_due": 1})
    assert journey.seconds() == Counter({"user2@example.com": 1})


def test_each_entry_has_a_second_mail_of_its_own(journey: Journey) -> None:
    journey.write(keys="entry: {per: [name]}")
    journey.shop.dormant(1)
    journey.first()
    journey.days_pass(1)
    journey.shop.sql("UPDATE users SET name = 'another'")
    journey.first()
    journey.days_pass(6.5)
    assert journey.second().statuses == {"sent": 1}
    journey.days_pass(1)
    assert journey.second().statuses == {"sent": 1}
    assert journey.seconds() == Counter({"user1@example.com": 2})
    keys = "SELECT entry_key FROM skene.deliveries WHERE step_id = %s ORDER BY delivery_id"
    assert journey.shop.sql(keys, "second") == journey.shop.sql(keys, "first")


def test_two_entries_may_be_due_at_once(journey: Journey) -> None:
    journey.write(keys="entry: each_run", condition="SELECT * FROM users UNION ALL SELECT * FROM users")
    journey.shop.dormant(3)
    for _ in range(2):
        journey.first()
    journey.days_pass(8)
    outcome = journey.second()
    assert (outcome.candidates, outcome.duplicate_rows, outcome.statuses) == (6, 6, {"sent": 6})


def test_the_time_between_two_entries_is_the_first_steps_own_affair(journey: Journey) -> None:
    journey.write(keys="entry: {every: 1d}")
    journey.shop.dormant(1)
    journey.first(as_of=datetime.now(UTC) - timedelta(hours=1))
    journey.days_pass(2)
    journey.first()
    journey.days_pass(8)
    assert journey.second().statuses == {"sent": 2}


def test_a_step_that_is_added_later_follows_who_was_mailed_before_it(journey: Journey) -> None:
    journey.write(keys="entry: {existing: skip}")
    journey.shop.dormant(1)
    journey.first()
    journey.shop.dormant(1, first=2)
    journey.first()
    journey.days_pass(8)
    assert journey.second().statuses == {"sent": 1}
    assert journey.seconds() == Counter({"user2@example.com": 1})


def test_names_that_were_count_for_the_step_before_too(journey: Journey) -> None:
    journey.shop.dormant(1)
    journey.first()
    journey.days_pass(8)
    text = LOOP.replace("id: first", "id: hello\n    was: [first]")
    journey.loop = journey.shop.loop(text.format(keys="was: [journey]", after="wait: 7d", condition=""), "renamed")
    assert journey.second().statuses == {"sent": 1}


def test_a_third_step_follows_the_second(journey: Journey) -> None:
    third = (
        LOOP[LOOP.index("  - id: second") :].replace("id: second", "id: third").replace("name: second", "name: third")
    )
    text = LOOP + third.replace("{after}", "step: second, wait: 1d")
    journey.write(text=text)
    journey.shop.dormant(1)
    journey.first()
    journey.days_pass(8)
    assert journey.shop.run(journey.channel, journey.job(2)).candidates == 0
    journey.second()
    journey.days_pass(1.5)
    assert journey.shop.run(journey.channel, journey.job(2)).statuses == {"sent": 1}


def test_what_a_person_settles_by_hand_counts_from_then(journey: Journey) -> None:
    journey.shop.dormant(1)
    journey.first()
    sql = journey.shop.sql
    sql("UPDATE skene.batches SET settled_at = settled_at - interval '40 days'")
    sql("UPDATE skene.deliveries SET reason = 'settled', sent_at = now() - interval '8 days'")
    assert journey.second().statuses == {"sent": 1}


def test_the_gates_and_limits_hold_in_every_step(journey: Journey) -> None:
    journey.write(keys="frequency_cap: 1/30d\nexit: SELECT id FROM users WHERE id = 2\nsample: 100%")
    journey.shop.dormant(2)
    journey.shop.sql("UPDATE users SET re_engagement_sent = false")
    journey.first()
    journey.days_pass(8)
    assert skips(journey.second()) == {"frequency_capped": 1}
    journey.days_pass(23)
    late = journey.second(as_of=datetime.now(UTC) - timedelta(hours=25))
    assert skips(late) == {"expired": 1}
    assert journey.second().statuses == {"sent": 1}


def test_a_late_run_does_not_list_those_whose_turn_it_is_not(journey: Journey) -> None:
    journey.write(condition="SELECT * FROM users")
    journey.shop.dormant(3)
    journey.first()
    outcome = journey.second(as_of=datetime.now(UTC) - timedelta(hours=25))
    assert skips(outcome) == {"not_due": 3}
    assert journey.shop.sql("SELECT count(*) AS n FROM skene.decisions_v WHERE step_id = 'second'") == [{"n": 0}]


def test_redirected_mail_is_followed_in_redirected_runs_alone(journey: Journey) -> None:
    journey.shop.dormant(2)
    redirect = replace(journey.shop.settings, max_mode=Mode.REDIRECT, redirect_to="me@acme.example")
    journey.first(settings=redirect)
    journey.days_pass(8)
    assert journey.second().candidates == 0
    assert journey.second(conf={}).candidates == 0
    assert journey.second(settings=redirect).statuses == {"sent": 2}
    assert skips(journey.second(settings=redirect)) == {"already_entered": 2}
    journey.first()
    journey.days_pass(8)
    assert journey.second(settings=redirect).candidates == 2, "the redirected entries, and no live ones"
    assert journey.second().statuses == {"sent": 2}


def test_a_shadow_run_says_who_would_be_next(journey: Journey) -> None:
    journey.shop.dormant(2)
    journey.first()
    journey.days_pass(8)
    shadow = journey.second(conf={})
    assert (shadow.mode, shadow.verdicts["send"]) == ("shadow", 2)
    assert journey.second().statuses == {"sent": 2}


def test_another_key_column_is_another_person(journey: Journey) -> None:
    journey.shop.sql("ALTER TABLE users ADD COLUMN code text")
    journey.shop.dormant(1)
    journey.shop.sql("UPDATE users SET code = '1'")
    journey.first()
    journey.days_pass(8)
    journey.write(keys="user: {key: code}")
    assert journey.second().candidates == 0


@pytest.mark.parametrize("kind", ["bigint", "uuid", "character(8)", "text", "numeric"])
def test_people_are_found_by_keys_of_any_type(journey: Journey, kind: str) -> None:
    keys = {"uuid": "md5(i::text)::uuid", "character(8)": "'k ' || i", "text": "'a''\"{\\,' || i"}
    journey.shop.sql("DROP TABLE users")
    journey.shop.sql(f"CREATE TABLE users (id {kind} PRIMARY KEY, email text)")
    key = keys.get(kind, "i")
    journey.shop.sql(f"INSERT INTO users SELECT {key}, 'user' || i || '@example.com' FROM generate_series(1, 4) i")
    journey.first()
    journey.shop.sql("DELETE FROM users WHERE email = 'user4@example.com'")
    journey.days_pass(8)
    assert journey.second().statuses == {"sent": 3}
    assert journey.seconds() == everybody(3)


def test_who_is_due_is_asked_for_in_handfuls(journey: Journey, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(candidates, "AT_A_TIME", 3)
    journey.shop.dormant(10)
    journey.first()
    journey.days_pass(8)
    assert journey.second().statuses == {"sent": 10}
    assert journey.seconds() == everybody(10)


@pytest.fixture
def elsewhere(pg: str) -> Iterator[Ledger]:
    """A ledger in a database of its own."""
    with psycopg.connect(pg, autocommit=True) as conn:
        conn.execute("CREATE DATABASE ledger_elsewhere")
    uri = psycopg.conninfo.make_conninfo(pg, dbname="ledger_elsewhere")
    with closing(Ledger(lambda: psycopg.connect(uri))) as ledger:
        yield ledger
    with psycopg.connect(pg, autocommit=True) as conn:
        conn.execute("DROP DATABASE ledger_elsewhere")


@pytest.mark.parametrize("condition", ["", "SELECT * FROM users WHERE id < 3"])
def test_the_ledger_may_be_another_database(journey: Journey, elsewhere: Ledger, condition: str) -> None:
    journey.write(condition=condition)
    journey.shop.dormant(3)
    own, journey.shop.ledger = journey.shop.ledger, elsewhere
    journey.first()
    with elsewhere.transaction() as cur:
        cur.execute("UPDATE skene.deliveries SET sent_at = sent_at - interval '8 days'")
    assert journey.second().statuses == {"sent": 2 if condition else 3}
    journey.shop.ledger = own


def test_a_fault_of_the_query_is_told_as_such(journey: Journey) -> None:
    journey.write(keys="user: {table: nobody_here}")
    with pytest.raises(QueryError, match="a table or view that does not exist"):
        evaluate(journey.job(1))


def test_both_dags_at_once_mail_each_person_once(journey: Journey) -> None:
    """The same step in two DAGs, as while an edit of `wait` moves it from one to the other."""
    journey.shop.dormant(150)
    journey.first()
    journey.days_pass(8)

    def run(number: int) -> None:
        with closing(Ledger(lambda: psycopg.connect(journey.shop.uri))) as ledger:
            job = replace(journey.job(1, run_id=f"race {number}"), ledger=ledger)
            evaluate(job)
            for shard in segment(job, journey.channel).shards:
                Sender(job, shard, journey.channel, sleep=lambda _: None).run()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(run, range(4)))
    assert journey.seconds() == everybody(150)


def test_a_step_is_braked_by_its_own_runs_that_found_somebody(journey: Journey) -> None:
    journey.write(keys="guard: {max_growth: 2x}")
    journey.shop.dormant(90)
    journey.first()
    for _ in range(12):
        journey.second()
    journey.days_pass(8)
    assert journey.second().statuses == {"sent": 90}
    for _ in range(12):
        journey.second()
    journey.shop.dormant(170, first=91)
    sql = journey.shop.sql
    sql("UPDATE skene.runs SET verdicts = jsonb_set(verdicts, '{send}', '1000') WHERE step_id = 'first'")
    journey.first()
    journey.days_pass(8)
    assert journey.second().statuses == {"sent": 170}, "170 people are less than twice 90"
