"""`explain` and `history` held against what runs decided and the ledger holds."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from skene_airflow.cli import main
from skene_airflow.stages.evaluate import evaluate
from skene_airflow.stages.segment import segment
from tests.integration.shop import Shop

Ask = Callable[..., tuple[int, Any, str]]
LOOP = """\
type: retention
opinion: Explains
{keys}
steps:
  - trigger: {{type: schedule, cron: "0 9,21 * * *"}}
    condition: {condition}
{segments}    action:
      type: email
      template: re_engagement
      personalization: {{name: "{{{{ user.name }}}}", lastActivity: x}}
"""
EVERYBODY = "SELECT u.*, id <> 4 AS yes FROM users u ORDER BY id"
PEOPLE = """
INSERT INTO users SELECT i, 'user' || i || '@example.com', 'Zebulon ' || i, now() - interval '30 days', false,
                         'Asia/Kathmandu' FROM generate_series(1, 12) i;
UPDATE users SET email = 'none' WHERE id = 2;
UPDATE users SET name = NULL WHERE id = 3;
UPDATE users SET email = 'USER1@example.com' WHERE id = 5;
"""
GATES = ["missing_key", "already_entered", "not_due", "stopped", "expired", "existing", "exited", "no_segment",
         "no_consent", "not_sampled", "invalid_address", "suppressed", "unsubscribed", "missing_variable",
         "quiet_hours"]  # fmt: skip


@pytest.fixture(autouse=True)
def deployment(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path))


@pytest.fixture
def ask(shop: Shop, capsys: pytest.CaptureFixture[str]) -> Ask:
    """Runs a verb on the shop: exit code, the JSON (or the text as it is), standard error."""

    def run(*words: str, style: str = "json", uri: str = shop.uri) -> tuple[int, Any, str]:
        capsys.readouterr()
        places = ["--ledger", uri, "--loops", str(shop.folder)]
        code = main([*words, "--format", style, *places, *(["--source", uri] if words[0] == "explain" else [])])
        said = capsys.readouterr()
        return code, json.loads(said.out) if style == "json" and said.out else said.out, said.err

    return run


def write(shop: Shop, keys: str = "", condition: str = EVERYBODY, segments: str = "", name: str = "x") -> Any:
    return shop.loop(LOOP.format(keys=keys, condition=condition, segments=segments), name)


def gate(found: Any, name: str) -> Any:
    (asked,) = [asked for asked in found["gates"] if asked["gate"] == name]
    return asked


def people(shop: Shop) -> None:
    shop.sql("ALTER TABLE users DROP COLUMN locale")
    for statement in PEOPLE.strip().split(";\n"):
        shop.sql(statement)
    shop.ledger.migrate()
    shop.sql("INSERT INTO skene.suppressions (user_key, scope, reason, source) VALUES ('6', 'all', 'manual', 't'),"
             " ('7', 'marketing', 'unsubscribed', 't')")  # fmt: skip


def test_every_person_is_explained_as_the_run_decided(shop: Shop, ask: Ask) -> None:
    people(shop)
    loop = write(
        shop,
        'consent: "yes"\nholdout: 30%\nsample: 90%\nexit: SELECT 8 AS id',
        segments="    segments: [{name: low, when: id < 9}, {name: high, when: id < 12}]\n",
    )
    job = shop.job({"mode": "shadow"}, loop=loop)
    evaluate(job)
    segment(job, None)
    rows = shop.sql("SELECT user_key, verdict, reason, segment FROM skene.decisions_v ORDER BY 1")
    assert len(rows) == 12
    assert len({row["reason"] for row in rows}) >= 8
    for row in rows:
        code, found, err = ask("explain", "x", "--user", row["user_key"])
        assert (code, err) == (0, "")
        assert (found["verdict"], found["reason"]) == (row["verdict"], row["reason"])
        names = [asked["gate"] for asked in found["gates"]]
        assert names == ["condition", *GATES, "duplicate_address", "frequency_capped", "held", "holdout"]
        decides = [asked["gate"] for asked in found["gates"] if asked["decides"]]
        assert decides == ([] if row["verdict"] == "send" else [row["reason"] or "holdout"])
        past = ask("explain", "x", "--user", row["user_key"], "--at", datetime.now(UTC).isoformat())[1]
        assert (past["verdict"], past["reason"]) == (row["verdict"], row["reason"])
        assert past["recorded"]["run_id"] == job.run.run_id
        assert past["entries"][0]["segment"] == row["segment"]


def test_the_facts_that_gates_saw(shop: Shop, resend: Any, ask: Ask) -> None:
    people(shop)
    keys = 'frequency_cap: 1/7d\nquiet_hours: {from: "21:00", to: "21:01"}\nholdout: 1%'
    shop.run(resend, shop.job(loop=write(shop, condition="SELECT * FROM users WHERE id IN (9, 10)", name="earlier")))
    write(shop, keys)
    found = ask("explain", "x", "--user", "9")[1]
    assert (found["verdict"], found["reason"]) == ("skip", "frequency_capped")
    facts = gate(found, "frequency_capped")["facts"]
    assert (facts["cap"], facts["window"], len(facts["counted"])) == (1, "7d", 1)
    assert (facts["counted"][0]["loop_id"], facts["counted"][0]["status"]) == ("earlier", "sent")
    quiet = gate(found, "quiet_hours")["facts"]
    assert (quiet["zone"], quiet["quiet_hours"]) == ("Asia/Kathmandu", "21:00–21:01")
    assert 0 <= gate(found, "holdout")["facts"]["share"] < 1
    listed = gate(ask("explain", "x", "--user", "6")[1], "suppressed")
    assert listed["verdict"] == "skip"
    assert listed["facts"]["entries"][0]["reason"] == "manual"
    assert listed["facts"]["entries"][0]["since"]
    assert gate(ask("explain", "x", "--user", "7")[1], "unsubscribed")["facts"]["topic"] == "marketing"
    assert gate(ask("explain", "x", "--user", "3")[1], "missing_variable")["facts"]["missing"] == ["name"]
    shared = gate(ask("explain", "x", "--user", "5")[1], "duplicate_address")
    assert shared["facts"]["earlier_in_this_run"] == "1"
    entered = gate(ask("explain", "earlier", "--user", "9")[1], "already_entered")
    assert entered["facts"]["entries"][0]["status"] == "sent"
    for style in ("json", "text"):
        for person in range(1, 13):
            for words in (["explain", "x", "--user"], ["explain", "earlier", "--user"], ["history", "--user"]):
                said = json.dumps(ask(*words, str(person), style=style)[1])
                assert "example.com" not in said.lower()
                assert "Zebulon" not in said


def test_somebody_whom_the_query_does_not_name(shop: Shop, ask: Ask) -> None:
    people(shop)
    write(shop, condition="SELECT * FROM users WHERE id < 3")
    for person, known in (("5", True), ("nobody", False)):
        code, found, _ = ask("explain", "x", "--user", person)
        assert (code, found["verdict"], found["reason"]) == (0, "not_named", None)
        assert found["gates"][0]["facts"]["in_user_table"] is known
    assert "the query does not name this person now" in ask("explain", "x", "--user", "5", style="text")[1]


def test_somebody_whom_the_query_does_not_name_any_more_since_the_mail_was_sent(
    shop: Shop, resend: Any, ask: Ask
) -> None:
    people(shop)
    shop.run(resend, shop.job(loop=write(shop, condition="SELECT * FROM users WHERE id = 9")))
    write(shop, condition="SELECT * FROM users WHERE id < 3")
    _, found, _ = ask("explain", "x", "--user", "9")
    assert found["verdict"] == "not_named"
    assert gate(found, "already_entered")["verdict"] == "not_asked"
    assert gate(found, "already_entered")["facts"]["entries"][0]["status"] == "sent"
    text = " ".join(ask("explain", "x", "--user", "9", style="text")[1].split())
    assert "not asked; last entered" in text
    _, found, _ = ask("explain", "x", "--user", "8")
    assert [asked["gate"] for asked in found["gates"]] == ["condition"]


def test_several_entries_of_one_person(shop: Shop, resend: Any, ask: Ask) -> None:
    people(shop)
    rows = "SELECT u.*, t.a, t.b FROM users u, (VALUES ('p', NULL), ('q', 1), ('q', 1)) AS t (a, b) WHERE u.id = 9"
    keys = "entry: {per: [a, b]}"
    shop.run(resend, shop.job(loop=write(shop, keys, f"{rows} AND a = 'p'")))
    write(shop, keys, rows)
    found = ask("explain", "x", "--user", "9")[1]
    assert [(each["entry_key"], each["verdict"], each["reason"]) for each in found["entries"]] == [
        ('["p", null]', "skip", "already_entered"),
        ('["q", "1"]', "send", None),
    ]
    assert found["verdict"] == "send"
    assert '["p", null]' in ask("explain", "x", "--user", "9", style="text")[1]


def test_the_past_from_records_and_what_is_only_counted(shop: Shop, resend: Any, ask: Ask) -> None:
    people(shop)
    job = shop.job(loop=write(shop, condition="SELECT * FROM users WHERE id IN (6, 9)"))
    before = datetime.now(UTC) - timedelta(minutes=1)
    shop.run(resend, job)
    after_first = datetime.now(UTC)
    shop.run(resend, shop.job(loop=job.loop))
    now = datetime.now(UTC).isoformat()
    assert ask("explain", "x", "--user", "9", "--at", before.isoformat())[1]["verdict"] == "no_run"
    sent = ask("explain", "x", "--user", "9", "--at", after_first.isoformat())[1]
    assert (sent["verdict"], sent["entries"][0]["outcome"], sent["recorded"]["run_id"]) == (
        "send",
        "sent",
        job.run.run_id,
    )
    assert gate(sent, "already_entered")["facts"]["entries"] == []
    skipped = ask("explain", "x", "--user", "6", "--at", after_first.isoformat())[1]
    assert (skipped["verdict"], skipped["reason"]) == ("skip", "suppressed")
    assert gate(skipped, "stopped")["verdict"] == "pass"
    assert gate(skipped, "unsubscribed")["verdict"] == "not_recorded"
    again = ask("explain", "x", "--user", "9", "--at", now)[1]
    assert (again["verdict"], again["reason"]) == ("skip", "already_entered")
    assert gate(again, "already_entered")["facts"]["recomputed"] is True
    assert "already_entered 1" in again["notes"][0]
    assert "recomputed" in again["notes"][1]
    assert ask("explain", "x", "--user", "12", "--at", now)[1]["verdict"] == "not_recorded"
    code, _, err = ask("explain", "x", "--user", "9", "--at", "yesterday")
    assert (code, "write a time such as" in err) == (2, True)


def test_quiet_hours_of_the_past_are_recomputed(shop: Shop, resend: Any, ask: Ask) -> None:
    people(shop)
    here = datetime.now(UTC)
    quiet = f'{{from: "{here - timedelta(hours=2):%H:%M}", to: "{here + timedelta(hours=2):%H:%M}"}}'
    shop.sql("UPDATE users SET timezone = 'UTC'")
    loop = write(shop, f"quiet_hours: {quiet}").model_copy()
    outcome = shop.run(resend, shop.job(loop=loop))
    assert outcome.verdicts["skip"]["quiet_hours"] > 0
    found = ask("explain", "x", "--user", "9", "--at", datetime.now(UTC).isoformat())[1]
    assert (found["verdict"], found["reason"]) == ("skip", "quiet_hours")


def test_without_a_ledger_and_on_one_that_is_only_read(shop: Shop, ask: Ask) -> None:
    shop.dormant(2)
    write(shop, condition="SELECT * FROM users")
    assert ask("explain", "x", "--user", "1")[1]["verdict"] == "send"
    assert ask("explain", "x", "--user", "1", "--at", "2026-01-01")[1]["verdict"] == "no_run"
    assert ask("history", "--user", "1")[1]["timeline"] == []
    assert shop.sql("SELECT 1 FROM pg_namespace WHERE nspname = 'skene'") == []
    shop.ledger.migrate()
    shop.sql("INSERT INTO skene.stops (loop_id, actor) VALUES ('*', 'ada')")
    strict = make_conninfo(shop.uri, options="-c default_transaction_read_only=on")
    found = ask("explain", "x", "--user", "1", uri=strict)[1]
    assert (found["reason"], gate(found, "stopped")["facts"]["stops"][0]["actor"]) == ("stopped", "ada")
    assert ask("history", "--user", "1", uri=strict)[0] == 0


def test_unknown_loops_steps_and_databases(shop: Shop, ask: Ask) -> None:
    shop.dormant(1)
    write(shop)
    assert ask("explain", "nothing", "--user", "1")[0] == 2
    assert "there: main" in ask("explain", "x", "--user", "1", "--step", "second")[2]
    gone = make_conninfo(shop.uri, host="127.0.0.1", port=1)
    for words in (["explain", "x"], ["history"]):
        code, found, err = ask(*words, "--user", "1", uri=gone)
        assert (code, found) == (2, "")
        assert "ledger" in err


def test_history_is_everything_over_all_loops(shop: Shop, resend: Any, ask: Ask) -> None:
    people(shop)
    shop.run(resend, shop.job(loop=write(shop, condition="SELECT * FROM users WHERE id IN (3, 9)", name="one")))
    shop.run(resend, shop.job(loop=write(shop, "holdout: 99.9%", "SELECT * FROM users WHERE id = 9", name="two")))
    shop.run(resend, shop.job({"mode": "shadow"}, loop=write(shop, condition="SELECT * FROM users", name="three")))
    with psycopg.connect(shop.uri) as conn:
        conn.execute(
            "INSERT INTO skene.suppressions (address_hmac, scope, reason, source) SELECT address_hmac, 'marketing',"
            " 'unsubscribed', 't' FROM skene.deliveries WHERE user_key = '9' AND loop_id = 'one'"
        )
        conn.execute("UPDATE skene.deliveries SET delivered_at = now() WHERE user_key = '9' AND loop_id = 'one'")
    found = ask("history", "--user", "9")[1]
    assert {(each["loop_id"], each["status"]) for each in found["deliveries"]} == {("one", "sent"), ("two", "held_out")}
    assert [each["loop_id"] for each in found["decisions"]] == ["one", "two", "three"]
    said = [(event["loop_id"], event["what"]) for event in found["timeline"]]
    assert said[0] == ("one", "entered; now sent")
    assert ("one", "delivered") in said
    assert ("two", "entered; now held_out") in said
    assert ("three", "would have been sent") in said
    assert (None, "unsubscribed: no more mail (marketing) to the address") in said
    assert [event["at"] for event in found["timeline"]] == sorted(event["at"] for event in found["timeline"])
    nearly = ask("history", "--user", "3")[1]
    assert ("one", "skipped: missing_variable") in [(event["loop_id"], event["what"]) for event in nearly["timeline"]]
    assert "nothing: no run ever recorded this person" in ask("history", "--user", "zzz", style="text")[1]
    assert "two" in ask("history", "--user", "9", style="text")[1]
