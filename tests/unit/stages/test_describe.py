"""Queries against a real database: described, never executed, and the fault at its place in the user's file."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import psycopg
import pytest

from skene_airflow.errors import SettingsError
from skene_airflow.loop import codes
from skene_airflow.nouns import Fault
from skene_airflow.stages.check import check_folder
from skene_airflow.stages.describe import TITLES, check_sources
from tests.golden_cases import LOOP, cases, expected, lay_out


@pytest.fixture
def shop(pg: str) -> str:
    with psycopg.connect(pg) as conn:
        conn.execute("CREATE TABLE members (id bigint, name text)")
        conn.execute("CREATE TABLE departures (user_id bigint)")
        conn.execute(
            "CREATE TABLE users (id bigint, email text, name text, last_activity_at timestamptz, created_at date)"
        )
    return pg


def faults(root: Path, uri: str) -> list[Fault]:
    folder = check_folder(root)
    assert folder.errors == ()
    return check_sources(folder.loops, lambda _: partial(psycopg.connect, uri))


@pytest.mark.parametrize("case", cases("source", ".yaml"), ids=lambda case: case.stem)
def test_says_exactly_what_is_written_beside_the_case(case: Path, tmp_path: Path, shop: str) -> None:
    found = faults(lay_out(case, tmp_path / "loops"), shop)
    said = "".join(f"{fault}\n" for fault in found)
    assert said == expected(case, said)
    assert {fault.code for fault in found} == {case.name[:5]}


def test_every_code_has_a_case() -> None:
    assert {case.name[:5] for case in cases("source", ".yaml")} == {*TITLES, codes.SQL_BOOLEAN}


def loop_with(tmp_path: Path, condition: str, more: str = "") -> Path:
    root = tmp_path / "loops"
    (root / "templates").mkdir(parents=True)
    (root / "templates" / "hello.html").write_text("---\nsubject: x\n---\n{{ user.name }}\n", encoding="utf-8")
    text = LOOP.replace("condition: SELECT * FROM users", f"condition: {condition}") + more
    (root / "hello.yaml").write_text(text, encoding="utf-8")
    return root


def test_a_good_loop_has_none_and_nothing_is_executed(tmp_path: Path, shop: str) -> None:
    root = loop_with(tmp_path, "SELECT *, 1 / 0 AS never FROM users WHERE created_at < :as_of")
    assert faults(root, shop) == []


def test_the_key_is_blamed_where_it_is_written(tmp_path: Path, shop: str) -> None:
    (found,) = faults(loop_with(tmp_path, "SELECT * FROM users", "user: {key: user_id}\n"), shop)
    assert (found.line, found.column, found.path) == (8, 13, "user.key")


def test_one_bad_loop_does_not_hide_the_next(tmp_path: Path, shop: str) -> None:
    root = loop_with(tmp_path, "SELECT * FROM nowhere")
    (root / "later.yaml").write_text(LOOP.replace("FROM users", "FROM elsewhere"), encoding="utf-8")
    assert [fault.file for fault in faults(root, shop)] == ["loops/hello.yaml", "loops/later.yaml"]


def test_a_connection_that_breaks_is_no_fault_of_the_loop(tmp_path: Path, shop: str) -> None:
    folder = check_folder(loop_with(tmp_path, "SELECT * FROM users"))

    def broken() -> psycopg.Connection:
        conn = psycopg.connect(shop)
        conn.pgconn.finish()
        return conn

    with pytest.raises(SettingsError, match="cannot be asked"):
        check_sources(folder.loops, lambda _: broken)
