"""Goals and lift on a real ledger: whose window, which moment, and a known lift found again."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import closing
from typing import Any

import psycopg
import pytest

from skene_airflow.channels import Channel
from skene_airflow.cli import main
from skene_airflow.errors import QueryError
from skene_airflow.ledger import Ledger, people
from skene_airflow.loop.schema import Loop
from skene_airflow.stages.goals import Asked, look_for_goals
from skene_airflow.stages.upkeep import upkeep
from skene_airflow.testing import ResendServer
from tests.integration.shop import SETTINGS, Shop

LOOP = """\
type: retention
opinion: Goals
{keys}
steps:
  - trigger: {{type: manual}}
    condition: SELECT * FROM users ORDER BY id
    action: {{type: email, template: re_engagement, personalization: {{name: x, lastActivity: y}}}}
"""
GOAL = 'goal: {query: "SELECT user_id AS id, at FROM orders", within: 14d}'
Skene = Callable[..., tuple[int, str, str]]


@pytest.fixture
def orders(shop: Shop) -> Shop:
    shop.sql("CREATE TABLE orders (user_id bigint, at timestamptz)")
    return shop


@pytest.fixture
def skene(shop: Shop, capsys: pytest.CaptureFixture[str]) -> Skene:
    def run(*words: str, source: str = "") -> tuple[int, str, str]:
        capsys.readouterr()
        folder = ["--loops", str(shop.folder), "--ledger", shop.uri, "--source", source or shop.uri]
        code = main(["lift", *words, *folder])
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


def write(shop: Shop, keys: str = GOAL, name: str = "goals") -> Loop:
    return shop.loop(LOOP.format(keys=keys), name)


def look(shop: Shop, loop: Loop) -> int:
    return look_for_goals(loop, Asked(shop.connect, shop.ledger))


def order(shop: Shop, user: int, sent: str) -> None:
    """An order at this distance from the person's own window's beginning."""
    shop.sql(
        "INSERT INTO orders SELECT user_key::bigint, coalesce(sent_at, queued_at) + %s::interval"
        " FROM skene.deliveries WHERE user_key = %s",
        sent,
        str(user),
    )


def many(shop: Shop, hours: int = 0) -> None:
    """Let goals be so many that only some looks go back to the beginning, and the last of those so long ago."""
    shop.sql("UPDATE skene.goal_looks SET whole_rows = 1e9, whole_at = looked_at - make_interval(hours => %s)", hours)


def back(shop: Shop, days: int) -> None:
    """Let everything that was mailed or claimed so far be so long ago."""
    shop.sql(
        "UPDATE skene.deliveries SET sent_at = sent_at - make_interval(days => %s),"
        " queued_at = queued_at - make_interval(days => %s)",
        days,
        days,
    )


def reached(shop: Shop) -> set[str]:
    return {row["user_key"] for row in shop.sql("SELECT user_key FROM skene.goals")}


def funnel(shop: Shop, *names: str) -> list[tuple[Any, ...]]:
    return [tuple(row[name] for name in names) for row in shop.sql("SELECT * FROM skene.funnel_v ORDER BY segment")]


def test_the_window_is_from_the_mail_to_within_later(orders: Shop, resend: Channel) -> None:
    orders.dormant(5)
    loop = write(orders)
    orders.run(resend, orders.job(loop=loop))
    back(orders, 20)
    for user, sent in [(1, "-1 second"), (2, "0"), (3, "14 days"), (4, "14 days 1 second")]:
        order(orders, user, sent)
    order(orders, 3, "3 days")
    assert look(orders, loop) == 2
    rows = orders.sql("SELECT user_key, at - since AS after FROM skene.goals ORDER BY 1")
    assert [(row["user_key"], row["after"].days) for row in rows] == [("2", 0), ("3", 3)], "the first time counts"
    assert funnel(orders, "sent", "converted", "held_out_converted") == [(5, 2, 0)]
    assert look(orders, loop) == 0, "nothing is recorded twice"


def test_held_out_people_from_the_claim_and_apart_from_the_mailed(orders: Shop, resend: Channel) -> None:
    orders.dormant(40)
    loop = write(orders, f"{GOAL}\nholdout: 50%")
    orders.run(resend, orders.job(loop=loop))
    by_status: dict[str, list[int]] = {}
    for row in orders.sql("SELECT user_key::bigint AS id, status FROM skene.deliveries ORDER BY 1"):
        by_status.setdefault(row["status"], []).append(row["id"])
    for user in by_status["sent"][:3] + by_status["held_out"][:2]:
        order(orders, user, "1 millisecond")
    orders.sql("INSERT INTO orders VALUES (NULL, now()), (999, now()), (1, NULL)")
    assert look(orders, loop) == 5
    held = len(by_status["held_out"])
    assert funnel(orders, "candidates", "held_out", "sent", "converted", "held_out_converted") == [
        (40, held, 40 - held, 3, 2)
    ]


def test_what_was_redirected_counts_for_nothing(orders: Shop, resend: Channel) -> None:
    from dataclasses import replace

    from skene_airflow.nouns import Mode

    orders.dormant(2)
    loop = write(orders)
    redirect = replace(SETTINGS, max_mode=Mode.REDIRECT, redirect_to="all@acme.example")
    orders.run(resend, orders.job(loop=loop, settings=redirect))
    orders.sql("INSERT INTO orders SELECT id, now() FROM users")
    assert look(orders, loop) == 0


def test_a_goal_that_comes_late_into_the_database(orders: Shop, resend: Channel) -> None:
    orders.dormant(3)
    loop = write(orders)
    orders.run(resend, orders.job(loop=loop))
    back(orders, 10)
    many(orders)
    order(orders, 1, "9 days 12 hours")  # half a day ago: every look goes back that far
    order(orders, 2, "1 day")  # nine days ago: only the daily look does
    assert (look(orders, loop), reached(orders)) == (1, {"1"})
    many(orders, hours=25)
    assert (look(orders, loop), reached(orders)) == (1, {"1", "2"})
    back(orders, 6)  # the windows ended two days ago
    order(orders, 3, "1 day")
    many(orders, hours=25)
    look(orders, loop)
    assert reached(orders) == {"1", "2", "3"}
    back(orders, 3)
    orders.sql("DELETE FROM skene.goals")
    many(orders, hours=25)
    assert look(orders, loop) == 0, "a window that ended long ago is not looked at again"


def test_few_goals_are_looked_for_from_the_beginning_every_time(orders: Shop, resend: Channel) -> None:
    orders.dormant(1)
    loop = write(orders)
    orders.run(resend, orders.job(loop=loop))
    back(orders, 10)
    order(orders, 1, "1 day")
    assert look(orders, loop) == 1


def test_an_edited_goal_measures_everybody_anew(orders: Shop, resend: Channel) -> None:
    orders.dormant(3)
    loop = write(orders)
    orders.run(resend, orders.job(loop=loop))
    back(orders, 10)
    order(orders, 1, "1 day")
    order(orders, 2, "5 days")
    assert (look(orders, loop), reached(orders)) == (2, {"1", "2"})
    shorter = write(orders, GOAL.replace("14d", "3d"))
    assert (look(orders, shorter), reached(orders)) == (1, {"1"})
    assert (look(orders, loop), reached(orders)) == (2, {"1", "2"})


def test_a_goal_that_is_added_later_counts_from_the_beginning(orders: Shop, resend: Channel) -> None:
    orders.dormant(2)
    orders.run(resend, orders.job(loop=write(orders, "")))
    back(orders, 30)
    order(orders, 2, "2 days")
    assert (look(orders, write(orders)), reached(orders)) == (1, {"2"})


def test_an_entry_that_begins_anew_forgets_what_came_before(orders: Shop, resend: Channel) -> None:
    orders.dormant(1)
    loop = write(orders)
    orders.run(resend, orders.job(loop=loop))
    back(orders, 10)
    order(orders, 1, "1 day")
    assert look(orders, loop) == 1
    orders.sql("UPDATE skene.deliveries SET sent_at = sent_at + interval '5 days'")
    assert funnel(orders, "converted") == [(0,)]
    order(orders, 1, "1 day")
    assert look(orders, loop) == 1
    assert funnel(orders, "converted") == [(1,)]


def test_two_databases_another_schema_and_column_names(orders: Shop, postgres: str, resend: Channel) -> None:
    orders.dormant(2)
    with psycopg.connect(postgres, autocommit=True) as conn:
        conn.execute("CREATE DATABASE goals_apart")
    apart = psycopg.conninfo.make_conninfo(postgres, dbname="goals_apart")
    with psycopg.connect(apart) as conn:
        conn.execute("CREATE TABLE signups (person text, day timestamp)")
        conn.execute("INSERT INTO signups VALUES ('2', now() AT TIME ZONE 'UTC' + interval '1 minute')")
    keys = 'goal: {query: "SELECT person AS id, day AS at FROM signups", within: 14d}'
    loop = write(orders, keys)
    orders.run(resend, orders.job(loop=loop))
    back(orders, 1)
    assert look_for_goals(loop, Asked(lambda: psycopg.connect(apart), orders.ledger)) == 0
    with psycopg.connect(apart) as conn:
        conn.execute("UPDATE signups SET day = now() AT TIME ZONE 'UTC'")
    assert look_for_goals(loop, Asked(lambda: psycopg.connect(apart), orders.ledger)) == 1


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("SELECT * FROM orders", "The query of `goal` does not return the person's key, 'id'; it returns: user_id, at"),
        ("SELECT *, user_id AS id FROM nowhere", "The goal failed .*does not exist"),
        ("SELECT user_id AS id, 'soon'::text AS at FROM orders", "The goal failed.* for these types"),
    ],
)
def test_a_goal_that_the_database_refuses_stops_no_mail(
    orders: Shop, server: ResendServer, resend: Channel, query: str, says: str
) -> None:
    from contextlib import nullcontext

    orders.dormant(2)
    job = orders.job(loop=write(orders))
    bad = job.loop.model_copy(update={"goal": job.loop.goal and job.loop.goal.model_copy(update={"query": query})})
    orders.run(resend, orders.job(loop=bad))
    assert len(server.accepted) == 2
    with pytest.raises(QueryError, match=says):
        look(orders, bad)
    kept = upkeep(orders.ledger, SETTINGS, [orders.job(loop=bad)], lambda _: nullcontext(resend))
    assert set(kept.failed) == {"goals.main"}


def test_the_source_is_only_read(orders: Shop, resend: Channel) -> None:
    orders.dormant(1)
    orders.sql(
        "CREATE FUNCTION sneaky() RETURNS SETOF orders LANGUAGE sql AS"
        " 'INSERT INTO orders VALUES (1, now()) RETURNING *'"
    )
    loop = write(orders, 'goal: {query: "SELECT user_id AS id, at FROM sneaky()", within: 14d}')
    orders.run(resend, orders.job(loop=loop))
    with pytest.raises(QueryError, match="may only read"):
        look(orders, loop)
    assert not orders.sql("SELECT 1 FROM orders")


def test_upkeep_records_for_loops_whose_file_loads(orders: Shop, resend: Channel) -> None:
    from contextlib import nullcontext

    orders.dormant(2)
    loop = write(orders)
    orders.run(resend, orders.job(loop=loop))
    order(orders, 1, "1 millisecond")
    kept = upkeep(orders.ledger, SETTINGS, [orders.job(loop=loop)], lambda _: nullcontext(resend))
    assert (kept.reached, kept.failed) == (1, {})


def test_who_looks_second_has_nothing_to_look_for(orders: Shop, resend: Channel) -> None:
    orders.dormant(1)
    loop = write(orders)
    orders.run(resend, orders.job(loop=loop))
    order(orders, 1, "1 millisecond")
    with closing(Ledger(orders.connect)) as other, other.transaction() as cur:
        cur.execute(other.sql("goals", "lock"), {"loop_id": loop.id})
        assert look(orders, loop) == 0
    assert look(orders, loop) == 1


def test_a_person_who_is_forgotten_stays_counted_and_can_be_exported_before(orders: Shop, resend: Channel) -> None:
    orders.dormant(1)
    loop = write(orders, f"{GOAL}\nentry: {{per: [name]}}")
    orders.run(resend, orders.job(loop=loop))
    order(orders, 1, "1 millisecond")
    look(orders, loop)
    [exported] = people.export(orders.ledger, "1", "ada")["goals"]
    assert exported["entry_key"] == '["User 1"]'
    people.forget(orders.ledger, "1", "ada")
    assert "User 1" not in str(orders.sql("SELECT * FROM skene.goals"))
    assert funnel(orders, "converted") == [(1,)]


def populate(shop: Shop, people: int, held_out: int, rates: tuple[float, float], *, share: float, days: int) -> None:
    """A run of so long ago in the ledger, as if it had been; of the first people of each arm so many ordered."""
    shop.ledger.migrate()
    shop.sql(
        "WITH run AS (INSERT INTO skene.runs (loop_id, step_id, run_id, run_type, mode, as_of, expires_at,"
        "  loop_version, holdout, claimed, staged_at, decided_at) SELECT 'goals', 'main', gen_random_uuid()::text,"
        "  'scheduled', 'live', now(), now(), 'v', %s::float8, true, now(), now() RETURNING run_no),"
        " people AS (SELECT i, i <= %s AS out FROM generate_series(1, %s::bigint) i),"
        " base AS (SELECT coalesce(max(user_key::bigint), 0) AS most FROM skene.deliveries),"
        " decided AS (INSERT INTO skene.decisions (run_no, n, user_key, entry_key, verdict, segment)"
        "  SELECT run_no, i, (most + i)::text, '', CASE WHEN out THEN 'hold_out' ELSE 'send' END, 'all'"
        "  FROM run, people, base),"
        " delivered AS (INSERT INTO skene.deliveries (loop_id, step_id, user_key, entry_key, run_no, mode, segment,"
        "   status, batch_id, pos, address_hmac, queued_at, sent_at)"
        "  SELECT 'goals', 'main', (most + i)::text, '', run_no, 'live', 'all',"
        "    CASE WHEN out THEN 'held_out' WHEN i %% 10 = 0 THEN 'failed' ELSE 'sent' END,"
        "   CASE WHEN NOT out THEN 1 END, i, '', now() - make_interval(days => %s),"
        "   CASE WHEN NOT out AND i %% 10 <> 0 THEN now() - make_interval(days => %s) END FROM run, people, base)"
        " INSERT INTO orders SELECT most + i, now() - make_interval(days => %s) + interval '1 hour' FROM people, base"
        " WHERE CASE WHEN out THEN i <= round(%s * %s) ELSE i - %s <= round(%s * (%s - %s)) END",
        *(share, held_out, people, days, days, days, rates[1], held_out, held_out, rates[0], people, held_out),
    )
    shop.sql("ANALYZE")


def told(skene: Skene, *words: str) -> dict[str, Any]:
    code, out, _ = skene("goals", "--format", "json", *words)
    assert code == 0
    answer: dict[str, Any] = json.loads(out)
    return answer


def test_a_known_lift_is_found_by_intention_to_treat(orders: Shop, skene: Skene) -> None:
    write(orders, f"{GOAL}\nholdout: 10%")
    populate(orders, 20_000, 2_000, (0.12, 0.08), share=0.1, days=20)
    found = told(skene)
    assert found["treated"] == {"people": 18_000, "converted": 2_160, "conversion": 0.12}, "failed mail is counted too"
    assert found["held_out"] == {"people": 2_000, "converted": 160, "conversion": 0.08}
    assert found["difference"] == pytest.approx(0.04)
    assert found["relative_lift"] == pytest.approx(0.5)
    low, high = found["interval"]
    assert 0.02 < low < 0.04 < high < 0.06
    assert (found["windows"], found["warnings"]) == ({"counted": "closed", "closed": 20_000, "open": 0}, [])
    assert found["split"]["off"] is False
    assert funnel(orders, "converted", "held_out_converted") == [(2_160 - 216, 160)]
    _, out, _ = skene("goals")
    assert "difference     +4.00 points (95%: +2." in out
    assert "relative lift  +50.0%" in out
    assert "More people reached the goal" in out


def test_a_split_that_is_off_is_told_at_the_right_size(orders: Shop, skene: Skene) -> None:
    write(orders, f"{GOAL}\nholdout: 50%")
    populate(orders, 1_000, 480, (0.2, 0.2), share=0.5, days=20)
    assert told(skene)["warnings"] == []
    populate(orders, 9_000, 4_320, (0.2, 0.2), share=0.5, days=20)
    found = told(skene)
    assert (found["split"]["held_out"], found["split"]["expected_held_out"], found["split"]["off"]) == (
        4800,
        5000,
        True,
    )
    assert found["warnings"][0].startswith("the split is off: 4,800 people were held out, and 5,000 were to be")


def test_a_share_that_was_changed_on_the_way_is_no_fault(orders: Shop, skene: Skene) -> None:
    write(orders, f"{GOAL}\nholdout: 50%")
    populate(orders, 10_000, 500, (0.2, 0.2), share=0.05, days=30)
    populate(orders, 10_000, 5_000, (0.2, 0.2), share=0.5, days=20)
    assert told(skene)["split"] == {"expected_held_out": 5500.0, "held_out": 5500, "p_value": 1.0, "off": False}


def test_only_windows_that_are_over_count_once_there_are_some(orders: Shop, skene: Skene) -> None:
    write(orders, f"{GOAL}\nholdout: 10%")
    populate(orders, 1_000, 100, (0.5, 0.2), share=0.1, days=2)
    early = told(skene)
    assert early["windows"] == {"counted": "open", "closed": 0, "open": 1_000}
    assert early["treated"]["converted"] == 450
    assert early["warnings"] == [
        "no window is over yet: 1,000 people are counted as of now, and more of them may convert"
    ]
    populate(orders, 2_000, 200, (0.2, 0.2), share=0.1, days=15)
    late = told(skene)
    assert late["windows"] == {"counted": "closed", "closed": 2_000, "open": 1_000}
    assert (late["treated"]["people"], late["held_out"]["people"]) == (1_800, 200)
    assert late["warnings"] == ["1,000 people are not counted: their window is still open"]


def test_each_person_counts_once_by_what_was_decided_first(orders: Shop, skene: Skene) -> None:
    write(orders, f"{GOAL}\nholdout: 10%\nentry: each_run")
    populate(orders, 1_000, 100, (0.1, 0.1), share=0.1, days=40)
    orders.sql("UPDATE skene.deliveries SET entry_key = 'first'")
    orders.sql("UPDATE skene.decisions SET entry_key = 'first'")
    orders.sql(
        "WITH run AS (INSERT INTO skene.runs (loop_id, step_id, run_id, run_type, mode, as_of, expires_at,"
        "  loop_version, holdout) SELECT 'goals', 'main', 'second', 'scheduled', 'live', now(), now(), 'v', 0.9"
        "  RETURNING run_no), d AS ("
        " INSERT INTO skene.decisions (run_no, n, user_key, entry_key, verdict, segment)"
        " SELECT run_no, i, i::text, 'second', 'hold_out', 'all' FROM run, generate_series(1, 1000) i)"
        " INSERT INTO skene.deliveries (loop_id, step_id, user_key, entry_key, run_no, mode, segment, status, pos,"
        " address_hmac) SELECT 'goals', 'main', i::text, 'second', run_no, 'live', 'all', 'held_out', i, ''"
        " FROM run, generate_series(1, 1000) i"
    )
    found = told(skene)
    assert (found["treated"]["people"], found["held_out"]["people"]) == (900, 100)
    assert found["split"]["off"] is False


def test_too_few_and_none_held_out(orders: Shop, skene: Skene) -> None:
    write(orders, f"{GOAL}\nholdout: 10%")
    populate(orders, 100, 10, (0.1, 0.1), share=0.1, days=20)
    assert told(skene)["warnings"][0].startswith("the sample is too small")
    orders.sql("DELETE FROM skene.decisions WHERE verdict = 'hold_out'")
    orders.sql("UPDATE skene.runs SET holdout = 0")
    found = told(skene)
    assert (found["difference"], found["interval"], found["relative_lift"], found["split"]) == (None, None, None, None)
    assert found["warnings"] == ["nobody was held out, so there is nothing to compare with: write `holdout: 10%`"]


def test_without_the_source_what_is_known_counts(orders: Shop, skene: Skene) -> None:
    write(orders, f"{GOAL}\nholdout: 10%")
    populate(orders, 1_000, 100, (0.5, 0.5), share=0.1, days=20)
    nowhere = "postgresql://127.0.0.1:1/nowhere"
    code, _, err = skene("goals", source=nowhere)
    assert code == 2
    assert "nobody has looked for the goals of 'goals' yet" in err
    told(skene)
    code, out, err = skene("goals", source=nowhere)
    assert code == 0
    assert "warning: goals are as they were last looked for: the database cannot be reached" in err
    assert "450" in out


def test_a_loop_without_a_goal_and_a_step_that_is_none(orders: Shop, skene: Skene) -> None:
    write(orders, "")
    code, _, err = skene("goals")
    assert (code, "has no goal: write `goal:" in err) == (2, True)
    write(orders)
    code, _, err = skene("goals", "--step", "other")
    assert (code, "has no step 'other'; it has: main" in err) == (2, True)
