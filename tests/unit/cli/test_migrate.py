from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from skene_airflow.cli import main


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    from skene_airflow.cli import deployment

    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path))
    deployment._airflow_cfg.cache_clear()
    return tmp_path


def tables(uri: str, schema: str) -> set[str]:
    with psycopg.connect(uri) as conn:
        rows = conn.execute("SELECT tablename FROM pg_tables WHERE schemaname = %s", (schema,)).fetchall()
    return {name for (name,) in rows}


def test_it_creates_the_schema_and_may_be_run_again(pg: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["migrate", "--ledger", pg]) == 0
    assert "applied" in capsys.readouterr().out
    assert {"deliveries", "batches", "decisions", "runs"} <= tables(pg, "skene")
    assert main(["migrate", "--ledger", pg]) == 0
    assert capsys.readouterr().out == "the ledger in schema skene is up to date\n"


def test_the_schema_is_the_environments_then_airflow_cfgs(pg: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "airflow.cfg").write_text("[core]\nlog = %(asctime)s\n[skene]\nschema = growth\n")
    assert main(["migrate", "--ledger", pg]) == 0
    assert tables(pg, "growth")
    monkeypatch.setenv("AIRFLOW__SKENE__SCHEMA", "loops")
    assert main(["migrate", "--ledger", pg]) == 0
    assert tables(pg, "loops")


def test_the_printed_sql_makes_the_same_tables(
    pg: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["migrate", "--sql"]) == 0
    with psycopg.connect(pg) as conn:
        conn.execute(capsys.readouterr().out.encode())
    printed = tables(pg, "skene")
    monkeypatch.setenv("AIRFLOW__SKENE__SCHEMA", "by_hand")
    assert main(["migrate", "--ledger", pg]) == 0
    assert printed == tables(pg, "by_hand")


@pytest.mark.parametrize("uri", ["postgresql://127.0.0.1:1/app", "not a uri"])
def test_a_ledger_that_cannot_be_reached_is_2(uri: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["migrate", "--ledger", uri]) == 2
    assert capsys.readouterr().err.startswith("skene-airflow migrate: ")


def test_a_missing_connection_is_2_and_says_how_to_add_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("_AIRFLOW_PROCESS_CONTEXT", raising=False)
    assert main(["migrate"]) == 2
    assert "AIRFLOW_CONN_SKENE_SOURCE" in capsys.readouterr().err


@pytest.mark.parametrize("words", [[], ["mgirate"], ["migrate", "--sqll"]])
def test_wrong_usage_is_2(words: list[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(words)
    assert left.value.code == 2


def test_it_starts_without_airflow() -> None:
    code = (
        "import sys; from skene_airflow.cli import main; main(['migrate', '--sql']); sys.exit('airflow' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], stdout=subprocess.DEVNULL, check=False).returncode == 0
