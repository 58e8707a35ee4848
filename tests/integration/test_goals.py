"""Goals on a real ledger: whose window, and which moment."""

from __future__ import annotations

from contextlib import closing

import psycopg
import pytest

from skene_airflow.channels import Channel
from skene_airflow.errors import QueryError
from skene_airflow.ledger import Ledger, people
from skene_airflow.stages.goals import Asked, look_for_goals
from skene_airflow.stages.upkeep import upkeep
from skene_airflow.testing import ResendServer
from tests.integration.goal import GOAL, back, funnel, look, many, order, reached, write
from tests.integration.shop import SETTINGS, Shop


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
