from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

Said = Callable[..., tuple[int, str, str]]


@pytest.fixture(autouse=True)
def outside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("_AIRFLOW_PROCESS_CONTEXT", raising=False)


@pytest.fixture
def shop(pg: str, here: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    with psycopg.connect(pg) as conn:
        conn.execute("CREATE TABLE users (id int, email text, name text)")
    mails = json.dumps({"conn_type": "outbox", "host": str(here / "outbox"), "extra": {"from_email": "a@acme.example"}})
    monkeypatch.setenv("AIRFLOW_CONN_RESEND_DEFAULT", mails)
    return pg


def checks(said: Said, *words: str) -> tuple[int, dict[str, tuple[bool | None, str]]]:
    code, out, _ = said("doctor", "--format", "json", *words)
    found = json.loads(out)["checks"]
    return code, {check["name"]: (check["ok"], check["message"]) for check in found}


def test_what_is_missing_is_2_and_says_how_to_add_it(said: Said) -> None:
    code, found = checks(said)
    assert code == 2
    assert found["versions"][0] is True
    assert found["loops"] == (True, "1 loop in loops")
    for name in ("ledger", "source skene_source", "email resend_default"):
        ok, message = found[name]
        assert ok is False
        assert "AIRFLOW_CONN_" in message


def test_an_old_ledger_is_1_and_a_good_deployment_0(said: Said, shop: str) -> None:
    words = ("--source", shop, "--ledger", shop)
    code, found = checks(said, *words)
    assert (code, found["ledger"][0]) == (1, False)
    assert "run skene-airflow migrate" in found["ledger"][1]
    assert said("migrate", "--ledger", shop)[0] == 0
    code, found = checks(said, *words)
    assert code == 0, found
    assert found["ledger"][0] is True
    assert found["email resend_default"][0] is True


def test_a_broken_loop_is_1(said: Said, here: Path, shop: str) -> None:
    assert said("migrate", "--ledger", shop)[0] == 0
    (here / "loops" / "broken.yaml").write_text("a: [\n", encoding="utf-8")
    code, out, _ = said("doctor", "--source", shop, "--ledger", shop)
    assert code == 1
    assert "✗ loops: 1 fault in loops: run skene-airflow validate" in out
