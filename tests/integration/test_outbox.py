"""Changes of a plain Postgres: triggers note them, a run fetches them, and the app never feels it."""

from __future__ import annotations

import select
from contextlib import closing
from datetime import timedelta
from typing import Any

import psycopg
import pytest

from skene_airflow.channels import Channel
from skene_airflow.cli import main
from skene_airflow.errors import QueryError
from skene_airflow.feedback.lookout import Lookout
from skene_airflow.feedback.outbox import Outbox
from skene_airflow.ledger import control
from skene_airflow.nouns import Mode
from skene_airflow.stages.evaluate import evaluate
from skene_airflow.stages.job import Job
from skene_airflow.stages.owed import owed
from skene_airflow.testing import ResendServer
from tests.integration.changing import TEMPLATE, WELCOME, welcome
from tests.integration.shop import Shop, everybody, mailed


@pytest.fixture
def app(shop: Shop) -> Shop:
    """A shop whose ledger is there, and whose outbox notes every change of users."""
    shop.ledger.migrate()
    shop.template(TEMPLATE, "welcome.html")
    assert main(["events", "install", "users", "--event", "insert,update,delete", "--source", shop.uri]) == 0
    return shop


def waiting(shop: Shop) -> list[tuple[Any, ...]]:
    rows = shop.sql("SELECT op, old ->> 'id' AS old, new ->> 'id' AS new FROM skene_outbox.changes ORDER BY change_no")
    return [tuple(row.values()) for row in rows]


def test_a_plain_postgres_notes_its_changes_and_a_run_fetches_them(
    app: Shop, resend: Channel, server: ResendServer
) -> None:
    app.dormant(3)
    assert app.run(resend, welcome(app)).candidates == 3
    assert mailed(server) == everybody(3)
    assert waiting(app) == []
    assert app.run(resend, welcome(app)).candidates == 0


def test_each_kind_of_change_is_noted_with_both_rows_and_an_update_that_changes_nothing_is_not(app: Shop) -> None:
    app.dormant(3)
    app.sql("UPDATE users SET name = name")
    app.sql("UPDATE users SET name = upper(name) WHERE id < 3")
    app.sql("UPDATE users SET id = 30 WHERE id = 3")
    app.sql("INSERT INTO users (id) VALUES (1), (9) ON CONFLICT (id) DO UPDATE SET name = 'both'")
    app.sql("DELETE FROM users WHERE id = 9")
    assert waiting(app) == [
        ("insert", None, "1"), ("insert", None, "2"), ("insert", None, "3"), ("update", "1", "1"), ("update", "2", "2"),
        ("update", None, "30"), ("update", "1", "1"), ("insert", None, "9"), ("delete", "9", None),
    ]  # fmt: skip


def test_a_role_without_any_right_on_the_outbox_writes_as_before(app: Shop) -> None:
    app.sql("CREATE ROLE app_writer LOGIN")
    app.sql("GRANT INSERT ON users TO app_writer")
    with psycopg.connect(psycopg.conninfo.make_conninfo(app.uri, user="app_writer")) as conn:
        conn.execute("INSERT INTO users (id) VALUES (1)")
        conn.commit()
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            conn.execute("SELECT * FROM skene_outbox.changes")
    assert waiting(app) == [("insert", None, "1")]


@pytest.mark.parametrize(
    "harm",
    ["DROP TABLE skene_outbox.changes", "ALTER TABLE skene_outbox.changes ADD CHECK (change_no < 0)", "LOCK"],
)
def test_whatever_is_wrong_with_the_outbox_the_apps_own_writes_go_on(app: Shop, harm: str) -> None:
    heard: list[str] = []
    with psycopg.connect(app.uri) as other, psycopg.connect(app.uri) as conn:
        if harm == "LOCK":
            other.execute("LOCK TABLE skene_outbox.changes")
        else:
            app.sql(harm)
        conn.add_notice_handler(lambda notice: heard.append(notice.message_primary or ""))
        conn.execute("INSERT INTO users (id) VALUES (1), (2)")
        conn.execute("UPDATE users SET name = 'x'")
        conn.commit()
    assert app.sql("SELECT count(*) AS n FROM users WHERE name = 'x'") == [{"n": 2}]
    assert [said.partition(" (")[0] for said in heard] == ["skene: changes of public.users were not noted"] * 2


def test_installing_again_notes_exactly_what_is_named_and_uninstalling_leaves_nothing(
    app: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    app.sql("CREATE SCHEMA billing")
    app.sql("CREATE TABLE billing.invoices (number text PRIMARY KEY)")
    run = ("events", "install", "--source", app.uri)
    assert main([*run, "users", "--event", "delete"]) == 0
    assert main([*run, "Billing.Invoices", "--no-notify", "--reader", "postgres"]) == 0
    app.sql("INSERT INTO users (id) VALUES (1)")
    app.sql("DELETE FROM users")
    app.sql("INSERT INTO billing.invoices VALUES ('a')")
    assert [row["changed"] for row in app.sql("SELECT changed FROM skene_outbox.changes ORDER BY change_no")] == [
        "public.users", "billing.invoices",
    ]  # fmt: skip
    end = ("events", "uninstall", "--source", app.uri)
    assert main([*end, "users"]) == 0
    assert main([*end, "users"]) == 0
    assert app.sql("SELECT to_regclass('skene_outbox.changes') IS NULL AS gone") == [{"gone": False}]
    assert main([*end, "billing.invoices"]) == 0
    assert "skene_outbox is gone" in capsys.readouterr().out
    assert app.sql("SELECT count(*) AS n FROM pg_trigger WHERE NOT tgisinternal AND tgrelid = 'users'::regclass") == [
        {"n": 0}
    ]
    app.sql("INSERT INTO users (id) VALUES (5)")


def test_the_printed_sql_does_the_same_and_mistakes_are_said_in_words(
    shop: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["events", "install", "users", "--event", "insert", "--sql"]) == 0
    printed = capsys.readouterr().out
    shop.sql(printed)
    shop.sql("INSERT INTO users (id) VALUES (1)")
    assert waiting(shop) == [("insert", None, "1")]
    for words, said in (
        (["users", "--event", "truncate"], "insert, update or delete"),
        (["nowhere"], "there is no table public.nowhere"),
        (["a;b"], "is not a table name"),
        (["information_schema.tables"], "is no table"),
    ):
        assert main(["events", "install", *words, "--source", shop.uri]) == 2
        assert said in capsys.readouterr().err


def test_the_kinds_are_those_that_the_loops_ask_for(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    shop.loop(WELCOME, "welcome")
    shop.template(TEMPLATE, "welcome.html")
    assert main(["events", "install", "users", "--source", shop.uri, "--loops", str(shop.folder)]) == 0
    assert "public.users: insert noted" in capsys.readouterr().out


def test_dying_between_writing_and_deleting_brings_each_change_once(app: Shop) -> None:
    app.dormant(2)
    with closing(Outbox(app.connect, "skene", "skene_source")) as outbox, pytest.MonkeyPatch.context() as patch:
        patch.setattr(Outbox, "_run", _without("fetched"))
        with pytest.raises(QueryError):
            outbox.empty_into(app.ledger)
    assert len(waiting(app)) == 2
    with closing(Outbox(app.connect, "skene", "skene_source")) as outbox:
        assert outbox.empty_into(app.ledger) == 2
    assert app.sql("SELECT count(*) AS n FROM skene.events WHERE source = 'skene_source'") == [{"n": 2}]


def _without(name: str) -> Any:
    run = Outbox._run

    def cut(self: Outbox, conn: psycopg.Connection[Any], what: str, **facts: object) -> psycopg.Cursor[Any]:
        if what == name:
            raise psycopg.OperationalError
        return run(self, conn, what, **facts)

    return cut


def test_a_lookout_calls_once_for_what_is_new_and_not_for_what_was_called_for(app: Shop, resend: Channel) -> None:
    now = [0.0]
    wanted = welcome(app).changes(Mode.LIVE, timedelta(hours=24))
    assert wanted is not None
    outbox = Outbox(app.connect, "skene", "skene_source")
    with closing(Lookout(wanted, app.connect, "skene", outbox=outbox, clock=lambda: now[0])) as lookout:
        lookout.open()
        assert lookout.look() == 0
        app.dormant(2)
        assert (lookout.look(), lookout.look()) == (2, 0)
        app.dormant(1, 3)
        assert lookout.look() == 0, "a run was called for and has not begun"
        now[0] += 31
        assert (lookout.look(), lookout.look()) == (3, 0)
        evaluate(welcome(app))
        assert lookout.look() == 0
        app.dormant(1, 4)
        assert lookout.look() == 1
        assert len(lookout.sockets) == 2
        app.dormant(1, 5)
        assert select.select(lookout.sockets, [], [], 30)[0], "the databases tell"
        evaluate(welcome(app))
        assert lookout.look() == 0


def test_upkeep_knows_whom_to_start_again_and_fetches_what_nobody_listened_for(app: Shop, resend: Channel) -> None:
    app.dormant(2)
    jobs = [welcome(app), shop_job(app, "mode: shadow"), app.job()]
    assert owed(app.ledger, app.settings, jobs) == {"welcome": 2}
    assert waiting(app) == []
    control.stop(app.ledger, "welcome", "a test")
    assert owed(app.ledger, app.settings, jobs) == {}
    control.start(app.ledger, "welcome", "a test")
    app.run(resend, welcome(app))
    assert owed(app.ledger, app.settings, jobs) == {}


def shop_job(shop: Shop, more: str) -> Job:
    return welcome(shop, f"{WELCOME}{more}\n", "shady")
