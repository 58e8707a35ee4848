"""`skene-airflow deliveries import` on a real ledger: people who hold their entry and are not mailed."""

from __future__ import annotations

import json
import sys
from io import BytesIO, TextIOWrapper
from pathlib import Path

import pytest

from skene_airflow.channels import Channel
from skene_airflow.ledger import control
from skene_airflow.stages.report import report
from skene_airflow.testing import ResendServer
from tests.integration.shop import Shop, Skene, audit, everybody, mailed


def test_imported_people_are_not_mailed(
    shop: Shop, server: ResendServer, resend: Channel, skene: Skene, tmp_path: Path
) -> None:
    shop.dormant(4)
    shop.loop()
    people = tmp_path / "people.csv"
    people.write_text("name,id,email\nx,1,\ny,2,USER9@example.com \n\nz,2,\n")
    words = ("deliveries", "import", "re_engagement", str(people), "--reason", "the old tool")
    assert skene(*words)[:2] == (0, "2 people: 2 now hold their entry, 0 held it already\n")
    assert skene(*words)[:2] == (0, "2 people: 0 now hold their entry, 2 held it already\n")
    assert [(e["action"], e["details"]["imported"], e["details"]["reason"]) for e in audit(shop)] == [
        ("deliveries import", 2, "the old tool")
    ]
    rows = shop.sql("SELECT user_key, status, reason, provider FROM skene.deliveries_v ORDER BY user_key")
    assert [tuple(row.values()) for row in rows] == [
        ("1", "existing", "imported", None),
        ("2", "existing", "imported", None),
    ]
    shop.sql("INSERT INTO users VALUES (9, 'user9@example.com', 'Nine', now() - interval '30 days')")
    assert shop.run(resend).verdicts["skip"] == {"already_entered": 2, "duplicate_address": 1}
    assert mailed(server) == everybody(2, first=3)
    [run] = shop.sql("SELECT candidates, verdicts, statuses FROM skene.runs_v WHERE run_type = 'import'")
    assert run == {"candidates": 0, "verdicts": {"send": 0, "hold_out": 0, "skip": {}}, "statuses": {"existing": 2}}


def test_import_takes_over_what_was_given_back_and_leaves_the_rest(
    shop: Shop, resend: Channel, skene: Skene, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.dormant(2)
    job = shop.job()
    shop.decide(resend, job)
    control.stop(shop.ledger, "re_engagement", "ada")
    control.start(shop.ledger, "re_engagement", "ada")
    assert shop.statuses() == {"cancelled": 2}
    monkeypatch.setattr(sys, "stdin", TextIOWrapper(BytesIO(b"1\n2\n3\n")))
    _, out, _ = skene("deliveries", "import", "re_engagement", "-", "--format", "json")
    assert json.loads(out) == {
        "loop": "re_engagement",
        "step": "main",
        "people": 3,
        "imported": 3,
        "held": 0,
        "queued": 0,
    }
    assert shop.statuses() == {"existing": 3}
    assert report(job).statuses == {"cancelled": 2}, "a row taken over stays counted where it was"


def test_import_says_who_is_queued_and_will_be_mailed(
    shop: Shop, resend: Channel, skene: Skene, tmp_path: Path
) -> None:
    shop.dormant(1)
    shop.decide(resend, shop.job())
    (tmp_path / "keys").write_text("1\n")
    _, out, _ = skene("deliveries", "import", "re_engagement", str(tmp_path / "keys"))
    assert "1 of those are queued" in out


def test_import_from_a_query(shop: Shop, skene: Skene) -> None:
    shop.dormant(5)
    shop.loop()
    query = "SELECT id AS user_key, email, '100%' AS x FROM users WHERE id > 3; "
    words = ("deliveries", "import", "re_engagement", "--source", shop.uri, "--query")
    assert skene(*words, query)[:2] == (0, "2 people: 2 now hold their entry, 0 held it already\n")
    for bad, code in [
        ("SELECT name FROM users", 2),
        ("DELETE FROM users RETURNING id AS user_key", 2),
        ("SELECT 1 AS user_key) AS q; DELETE FROM users; SELECT * FROM (SELECT 1", 2),
        ("SELECT 1 / (id - id) AS user_key, email FROM users", 2),
    ]:
        found, _, err = skene(*words, bad)
        assert found == code
        assert "example.com" not in err
    assert shop.sql("SELECT count(*) AS n FROM users") == [{"n": 5}]
    assert shop.statuses() == {"existing": 2}


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"a,b\n1,2\n", "must name the column"),
        (b"user_key,entry_key\n1\n", "people.csv:2: 1 columns instead of 2"),
        (b"user_key,x\n1,2\n,3\n", "people.csv:3: there is no person key"),
        (b"user_key,entry_key\n1,2026-01-01\n", "entered once"),
        (b"1\n\x002\n", "there is no person key"),
        (b"\xff\xfe", "not UTF-8"),
        (None, "cannot be read"),
    ],
)
def test_a_file_with_a_bad_line_imports_nobody(
    shop: Shop, skene: Skene, tmp_path: Path, content: bytes | None, says: str
) -> None:
    shop.loop()
    people = tmp_path / "people.csv"
    if content is not None:
        people.write_bytes(content)
    code, _, err = skene("deliveries", "import", "re_engagement", str(people))
    assert code == 2
    assert says in err
    assert shop.statuses() == {}


def test_an_import_needs_a_loop_a_step_and_one_place_to_read_from(shop: Shop, skene: Skene, tmp_path: Path) -> None:
    shop.loop()
    (tmp_path / "keys").write_text("1\n")
    keys = str(tmp_path / "keys")
    assert "there is no loop" in skene("deliveries", "import", "nobody", keys)[2]
    assert "--step" in skene("deliveries", "import", "re_engagement", keys, "--step", "second")[2]
    assert "--query" in skene("deliveries", "import", "re_engagement")[2]
    shop.ledger.migrate()
    assert shop.statuses() == {}
