"""`skene-airflow plan` against real databases: its numbers, its words, its exit codes, and that it leaves nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from skene_airflow.cli import main
from skene_airflow.ledger import migrate
from skene_airflow.testing import ResendServer
from tests.integration.shop import Shop, everybody, mailed

Plan = Callable[..., tuple[int, Any, str]]
LOOP = """\
type: retention
opinion: Plans
{keys}
steps:
  - trigger: {{type: schedule, cron: "0 9 * * *"}}
    condition: {condition}
    action: {{type: email, template: re_engagement, personalization: {{name: "{{{{ user.name }}}}", lastActivity: x}}}}
"""
EVERYBODY = "SELECT * FROM users ORDER BY id"


@pytest.fixture(autouse=True)
def deployment(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    """Nothing of this machine's Airflow counts."""
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path))


@pytest.fixture
def plan(shop: Shop, capsys: pytest.CaptureFixture[str]) -> Plan:
    """Runs `plan` on the shop: exit code, the JSON (or the text as it is), standard error."""

    def run(*words: str, source: str = shop.uri, ledger: str = shop.uri, style: str = "json") -> tuple[int, Any, str]:
        capsys.readouterr()
        places = ["--source", source, "--ledger", ledger, "--loops", str(shop.folder)]
        code = main(["plan", *words, "--format", style, *places])
        said = capsys.readouterr()
        return code, json.loads(said.out) if style == "json" and said.out else said.out, said.err

    return run


def write(shop: Shop, name: str = "planned", keys: str = "", condition: str = EVERYBODY) -> Any:
    return shop.loop(LOOP.format(keys=keys, condition=condition), name)


def login(shop: Shop, name: str, *grants: str) -> str:
    """A role of its own, with these rights and no others; returns the URI."""
    database = conninfo_to_dict(shop.uri)["dbname"]
    role = f"{name}_{database}"
    shop.sql(f"CREATE ROLE {role} LOGIN")
    shop.sql(f"REVOKE TEMPORARY ON DATABASE {database} FROM public")
    for grant in grants:
        shop.sql(f"GRANT {grant} TO {role}")
    return make_conninfo(shop.uri, user=role)


def traces(shop: Shop) -> list[dict[str, Any]]:
    """Every relation outside of PostgreSQL's own schemas, with what was ever written to it."""
    with psycopg.connect(shop.uri) as conn:
        names = conn.execute(
            "SELECT schemaname, tablename FROM pg_tables WHERE schemaname !~ '^(pg_|information_schema)' ORDER BY 1, 2"
        ).fetchall()
        found = []
        for schema, table in names:
            rows = sql.SQL("SELECT count(*), max(xmin::text) FROM {}").format(sql.Identifier(schema, table))
            found.append({"table": f"{schema}.{table}", "rows": conn.execute(rows).fetchone()})
    return found


def test_no_ledger_is_a_first_run_and_none_is_made(shop: Shop, plan: Plan) -> None:
    shop.dormant(3)
    write(shop)
    before = traces(shop)
    code, found, _ = plan()
    assert (code, found["ledger"]) == (0, "none, first run")
    (step,) = found["loops"]
    assert (step["loop_id"], step["step_id"], step["first_run"]) == ("planned", "main", True)
    assert (step["candidates"], step["verdicts"]) == (3, {"send": 3, "hold_out": 0, "skip": {}})
    assert (step["segments"], step["variants"], step["brakes"]) == ({"all": 3}, {}, [])
    assert traces(shop) == before
    assert "ledger: none, first run" in plan(style="text")[1]
    reader = login(shop, "reader", "SELECT ON users")
    assert plan(source=reader, ledger=reader)[1]["loops"][0]["verdicts"]["send"] == 3


def test_nothing_of_a_ledger_is_changed(shop: Shop, server: ResendServer, resend: Any, plan: Plan) -> None:
    shop.dormant(2)
    shop.run(resend, shop.job(loop=write(shop)))
    shop.dormant(5, first=3)
    before = traces(shop)
    code, found, _ = plan()
    assert code == 0
    assert found["loops"][0]["verdicts"] == {"send": 5, "hold_out": 0, "skip": {"already_entered": 2}}
    assert found["loops"][0]["first_run"] is False
    assert found["loops"][0]["rate"]["usual_run"] == 2
    assert traces(shop) == before
    assert mailed(server) == everybody(2)


def test_a_read_only_ledger_is_asked_over_the_query_itself(shop: Shop, plan: Plan) -> None:
    shop.dormant(4)
    shop.ledger.migrate()
    shop.sql("INSERT INTO skene.suppressions (user_key, scope, reason, source) VALUES ('1', 'all', 'manual', 't')")
    write(shop, condition="SELECT *, '100%' AS share FROM users WHERE name LIKE 'User %' ORDER BY id")
    reads = "USAGE ON SCHEMA skene", "SELECT ON ALL TABLES IN SCHEMA skene", "SELECT ON users"
    reader = login(shop, "reader", *reads)
    strict = make_conninfo(shop.uri, options="-c default_transaction_read_only=on")
    for uri in (shop.uri, reader, strict):
        code, found, err = plan(source=uri, ledger=uri)
        assert (code, err) == (0, "")
        assert found["loops"][0]["verdicts"] == {"send": 3, "hold_out": 0, "skip": {"suppressed": 1}}


def test_two_databases(shop: Shop, plan: Plan) -> None:
    shop.dormant(2)
    write(shop)
    other = f"{conninfo_to_dict(shop.uri)['dbname']}_ledger"
    with psycopg.connect(shop.uri, autocommit=True) as conn:
        conn.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(other)))
    ledger = make_conninfo(shop.uri, dbname=other)
    with psycopg.connect(ledger) as conn:
        migrate.apply(conn.cursor(row_factory=psycopg.rows.dict_row), "skene")
        conn.execute("INSERT INTO skene.stops (loop_id, actor) VALUES ('*', 'ada')")
    assert plan(ledger=ledger)[1]["loops"][0]["verdicts"]["skip"] == {"stopped": 2}
    # There is no ledger beside the query, and the one that there is takes no temporary table.
    strict = make_conninfo(ledger, options="-c default_transaction_read_only=on")
    code, found, err = plan(ledger=strict)
    assert (code, found) == (2, "")
    assert "takes no temporary table" in err


def test_a_ledger_that_cannot_be_read_is_never_taken_for_empty(shop: Shop, plan: Plan) -> None:
    shop.dormant(1)
    shop.ledger.migrate()
    write(shop)
    blind = login(shop, "blind", "SELECT ON users")
    for uri in (blind, make_conninfo(shop.uri, host="127.0.0.1", port=1), "no uri at all"):
        code, found, err = plan(ledger=uri)
        assert (code, found) == (2, "")
        assert "Traceback" not in err
        assert "ledger" in err
    shop.sql("DELETE FROM skene.migrations WHERE number > 3")
    code, found, err = plan()
    assert (code, found) == (2, "")
    assert "run `skene-airflow migrate`" in err
    assert shop.sql("SELECT count(*) AS n FROM skene.migrations") == [{"n": 3}]


def test_a_source_that_cannot_read_the_ledger_beside_it(shop: Shop, plan: Plan) -> None:
    shop.dormant(1)
    shop.ledger.migrate()
    write(shop)
    strict = make_conninfo(shop.uri, options="-c default_transaction_read_only=on")
    code, _, err = plan(source=login(shop, "app", "SELECT ON users"), ledger=strict)
    assert code == 2
    assert "may not read the schema skene" in err


def test_a_source_that_cannot_be_reached(shop: Shop, plan: Plan) -> None:
    shop.ledger.migrate()
    write(shop)
    code, found, _ = plan(source=make_conninfo(shop.uri, host="127.0.0.1", port=1))
    assert code == 2
    assert "cannot be reached" in found["loops"][0]["error"]


def test_brakes_that_would_hold_are_findings(shop: Shop, plan: Plan) -> None:
    shop.dormant(12)
    write(shop, keys="guard: {max: 5, max_share: 50%, max_growth: 5x}")
    code, found, _ = plan()
    assert code == 1
    (step,) = found["loops"]
    assert step["verdicts"] == {"send": 0, "hold_out": 0, "skip": {"held": 12}}
    assert step["brakes"] == [
        {"brake": "max", "people": 12, "lets_pass": 5},
        {"brake": "max_share", "people": 12, "lets_pass": 6},
    ]
    assert step["segments"] == {"all": 12}
    code, text, _ = plan(style="text")
    assert code == 1
    assert "guard.max: 12 people would get mail, and it lets 5 pass" in text
    assert "1 run would be held" in text


def test_a_filter_edit_that_widens_the_audience_thirty_fold(shop: Shop, resend: Any, plan: Plan) -> None:
    shop.dormant(310)
    narrow = "SELECT * FROM users WHERE id <= 10"
    shop.run(resend, shop.job(loop=write(shop, keys="guard: {max_growth: 5x}", condition=narrow)))
    write(shop, keys="guard: {max_growth: 5x}")
    code, found, _ = plan()
    assert code == 1
    assert found["loops"][0]["brakes"] == [{"brake": "max_growth", "people": 300, "lets_pass": 100}]


def test_one_broken_loop_does_not_take_the_plan_down(shop: Shop, plan: Plan) -> None:
    shop.dormant(2)
    write(shop)
    write(shop, "failing", condition="SELECT * FROM users WHERE email LIKE 'user1@%' AND 1 / (id - id) > 0")
    write(shop, "missing", condition="SELECT *, mail FROM users")
    (shop.folder / "broken.yaml").write_text("type: retention\nstepz: []\n", encoding="utf-8")
    code, found, _ = plan()
    assert code == 1
    told = {step["loop_id"]: step for step in found["loops"]}
    assert told["planned"]["verdicts"]["send"] == 2
    assert "divides by zero" in told["failing"]["error"]
    assert "user1" not in json.dumps(told["failing"])
    assert "column that does not exist" in told["missing"]["error"]
    assert {fault["file"] for fault in found["errors"]} == {"loops/broken.yaml"}
    for style in ("text", "markdown"):
        text = plan(style=style)[1]
        assert "divides by zero" in text
        assert "loops/broken.yaml" in text
    assert plan("planned")[0] == 0
    assert [step["loop_id"] for step in plan("planned")[1]["loops"]] == ["planned"]
    code, _, err = plan("planed")
    assert (code, "did you mean 'planned'?" in err) == (2, True)


def test_how_many_at_once_and_how_many_a_day(shop: Shop, plan: Plan) -> None:
    shop.dormant(5)
    for hours in (1, 2, 30):
        shop.sql("INSERT INTO users SELECT max(id) + 1, 'n' || max(id) || '@x.example', 'N',"
                 " now() - interval '7 days' - make_interval(hours => %s) FROM users", hours)  # fmt: skip
    for clock in (":as_of", "NOW()", "current_timestamp"):
        write(shop, condition=f"SELECT * FROM users WHERE last_activity_at < {clock} - INTERVAL '7 days'")
        rate = plan()[1]["loops"][0]["rate"]
        assert (rate["now"], rate["backlog"], rate["per_day"]) == (8, 6, 2)
    assert "6 of them qualified more than a day ago, then about 2 a day" in plan(style="text")[1]
    write(shop)
    assert plan()[1]["loops"][0]["rate"]["per_day"] is None
    write(shop, keys="entry: each_run", condition="SELECT * FROM users WHERE last_activity_at < :as_of")
    assert plan()[1]["loops"][0]["rate"]["per_day"] == 8
    write(
        shop,
        keys="entry: {every: 30d}",
        condition="SELECT * FROM users WHERE last_activity_at < :as_of - '7d'::interval",
    )
    assert plan()[1]["loops"][0]["rate"]["per_day"] == 2


def test_overlap_with_other_loops(shop: Shop, resend: Any, plan: Plan) -> None:
    shop.dormant(6)
    shop.run(resend, shop.job(loop=write(shop, "past", condition="SELECT * FROM users WHERE id <= 2")))
    write(shop, "one", condition="SELECT * FROM users WHERE id <= 4")
    write(shop, "two", condition="SELECT * FROM users WHERE id >= 4")
    told = {step["loop_id"]: step["overlap"] for step in plan()[1]["loops"]}
    assert told["one"] == [
        {"loop_id": "past", "also_now": 0, "mailed_lately": 2},
        {"loop_id": "two", "also_now": 1, "mailed_lately": 0},
    ]
    assert told["two"] == [{"loop_id": "one", "also_now": 1, "mailed_lately": 0}]
    assert told["past"] == []


def test_who_is_quiet_or_misses_a_variable_is_counted_behind_other_gates_too(shop: Shop, plan: Plan) -> None:
    shop.dormant(4)
    shop.sql("UPDATE users SET name = NULL WHERE id <= 3")
    shop.sql("UPDATE users SET email = 'nobody' WHERE id = 1")
    write(shop)
    (step,) = plan()[1]["loops"]
    assert step["verdicts"]["skip"] == {"invalid_address": 1, "missing_variable": 2}
    assert step["gates"]["missing_variable"] == 3
    assert "missing_variable" in plan(style="text")[1]
    assert "(3 in all)" in plan(style="text")[1]


def test_no_person_stands_in_any_form_of_it(shop: Shop, plan: Plan) -> None:
    shop.dormant(3)
    shop.sql("UPDATE users SET name = 'Zebulon', email = 'zebulon' || id || '@ruritania.example'")
    write(shop)
    for style in ("text", "markdown", "json"):
        code, found, _ = plan(style=style)
        everything = found if isinstance(found, str) else json.dumps(found, ensure_ascii=False)
        assert code == 0
        assert "Zebulon" not in everything
        assert "ruritania" not in everything
        assert "We miss you, ‹name›" in everything
    assert len(plan()[1]["loops"][0]["samples"]) == 3


def test_edits_of_entry_and_key_are_told(shop: Shop, resend: Any, plan: Plan) -> None:
    shop.dormant(2)
    shop.run(resend, shop.job(loop=write(shop)))
    write(shop, keys="entry: {per: [last_activity_at]}")
    code, found, _ = plan()
    assert code == 0
    assert found["loops"][0]["verdicts"]["skip"] == {"existing": 2}
    assert "`entry` was edited" in found["loops"][0]["notes"][0]
    write(shop, keys="user: {key: email}")
    code, found, _ = plan()
    assert code == 1
    assert "is refused until its conf says" in found["loops"][0]["notes"][0]


def test_markdown_is_what_a_pull_request_shows(shop: Shop, plan: Plan) -> None:
    shop.dormant(2)
    shop.template("---\nsubject: 'Hi `{{ name }}` | you'\n---\n<pre>```</pre><p>{{ name }}</p>")
    write(shop, keys="guard: {max: 1}")
    code, text, _ = plan(style="markdown")
    assert code == 1
    assert "| `planned` | 2 | 0 | 0 | 2 | ? | :no_entry: would be held |" in text
    assert "````text" in text
    assert text.count("<details>") == text.count("</details>") == 1
