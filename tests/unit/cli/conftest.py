"""A folder to stand in, with the reference loop in `loops/`; no setting of this machine counts."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from skene_airflow.cli import deployment, main

ROOT = Path(__file__).parents[3]
LOOP = """\
type: retention
opinion: People who left come back when somebody writes to them
steps:
  - trigger: {type: schedule, cron: "0 9 * * *"}
    condition: SELECT * FROM users WHERE name IS DISTINCT FROM 'nobody 100%' ORDER BY id
    action:
      type: email
      provider: smtp
      from: Acme <hi@acme.example>
      template: hello
      personalization: {name: "{{ user.name }}", since: "{{ user.created_at | date('long') }}"}
"""
PAGE = "---\nsubject: Hi {{ name }}\n---\n<h1>Hi {{ name }}</h1><p>Here since {{ since }}.</p>\n"
GERMAN = "---\nsubject: Hallo {{ name }}\n---\n<p>Seit {{ since }} hier.</p>\n"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder of the test."""
    (tmp_path / "loops" / "templates").mkdir(parents=True)
    for name in ("re_engagement.yaml", "templates/re_engagement.html"):
        shutil.copy(ROOT / "loops" / name, tmp_path / "loops" / name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path))
    monkeypatch.delenv("AIRFLOW__SKENE__LOOPS_FOLDER", raising=False)
    deployment._airflow_cfg.cache_clear()
    return tmp_path


@pytest.fixture
def said(here: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Runs one command line: its exit code, what it printed, and what it complained of."""

    def run(*words: str) -> tuple[int, str, str]:
        code = main(words)
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return run


@pytest.fixture
def loops(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A loops folder with one loop, its template in two languages; no setting of this machine counts."""
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path))
    deployment._airflow_cfg.cache_clear()
    root = tmp_path / "loops"
    (root / "templates").mkdir(parents=True)
    (root / "hello.yaml").write_text(LOOP, encoding="utf-8")
    (root / "templates" / "hello.html").write_text(PAGE, encoding="utf-8")
    (root / "templates" / "hello.de.html").write_text(GERMAN, encoding="utf-8")
    return root


@pytest.fixture
def shop(pg: str) -> str:
    """A database with three people, one of them without a name."""
    with psycopg.connect(pg) as conn:
        conn.execute("CREATE TABLE users (id bigint, email text, name text, locale text, created_at timestamptz)")
        conn.execute(
            "INSERT INTO users VALUES (1, 'grace@example.com', 'Grace', 'de-AT', '2026-03-01 10:00+00'),"
            " (2, 'alan@example.com', 'Alan', NULL, '2026-04-01 10:00+00'), (3, 'x@example.com', NULL, NULL, now()),"
            " (4, 'no address', 'Joan', NULL, now())"
        )
    return pg
