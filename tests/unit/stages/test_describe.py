"""Queries against a real database: described, never executed, and the fault at its place in the user's file."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from pathlib import Path

import psycopg
import pytest

from skene_airflow.errors import SettingsError
from skene_airflow.loop import codes
from skene_airflow.loop.rules import Goal
from skene_airflow.nouns import Fault
from skene_airflow.stages.check import check_folder
from skene_airflow.stages.describe import check_sources
from skene_airflow.stages.describing import QUERY_REFUSED, TITLES
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


AFTER = """\
action: {type: email, template: hello}
entry: {per: [name]}
steps:
  - id: first
    trigger: {type: manual}
    condition: SELECT * FROM users
  - id: second
    trigger: {type: after, wait: 7d}
    on_sent: UPDATE users u SET name = 'x' FROM sent WHERE u.id = sent.id
"""


def journey(tmp_path: Path, more: str = "") -> Path:
    root = loop_with(tmp_path, "SELECT * FROM users")
    (root / "hello.yaml").write_text(f"type: a\nopinion: b\n{AFTER}{more}", encoding="utf-8")
    return root


def test_a_step_that_follows_is_described_with_or_without_a_condition(tmp_path: Path, shop: str) -> None:
    assert faults(journey(tmp_path), shop) == []
    root = journey(tmp_path / "narrow", "    condition: SELECT id, email, last_activity_at AS name FROM users\n")
    assert faults(root, shop) == []
    root = journey(tmp_path / "other", "    condition: SELECT id, email, title AS name FROM users\n")
    assert [(fault.line, fault.code) for fault in faults(root, shop)] == [(12, QUERY_REFUSED)]


def test_everybody_is_whoever_is_in_the_table_of_people(tmp_path: Path, shop: str) -> None:
    found = faults(journey(tmp_path, "user: {table: nobody}\n"), shop)
    assert [(fault.file, fault.path, fault.code) for fault in found] == [
        ("loops/hello.yaml", "steps[1].condition", QUERY_REFUSED)
    ]


def test_what_once_is_per_need_not_be_there_in_a_step_that_follows(tmp_path: Path, shop: str) -> None:
    root = journey(tmp_path, "    condition: SELECT id, email, 'x' AS greeting FROM users\n")
    text = "---\nsubject: x\n---\nHi\n"
    (root / "templates" / "hello.html").write_text(text, encoding="utf-8")
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


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("SELECT id, created_at AS at FROM users", []),
        ("SELECT id, at FROM purchases", ["SK251"]),
        ("SELECT user_id, now() AS at FROM departures", ["SK253"]),
        ("SELECT id, created_at FROM users", ["SK254"]),
        ("SELECT id, email::int AS at FROM users", ["SK255"]),
    ],
)
def test_a_goal_names_people_and_the_time(query: str, said: list[str], tmp_path: Path, shop: str) -> None:
    (loop,) = check_folder(loop_with(tmp_path, "SELECT * FROM users")).loops
    aimed = loop.model_copy(update={"goal": Goal(query=query, within=timedelta(days=7))})
    found = check_sources([aimed], lambda _: partial(psycopg.connect, shop))
    assert [(fault.code, fault.path) for fault in found] == [(code, "goal.query") for code in said]


@pytest.mark.parametrize(
    "update",
    [
        "UPDATE users u SET email = sent.name FROM sent WHERE u.id = sent.id",
        "WITH a AS (SELECT 1 AS id) UPDATE users u SET name = sent.name FROM sent, a WHERE u.id = sent.id;",
        "/* x */ WITH RECURSIVE a AS (SELECT 1 AS id) UPDATE users u SET name = :as_of FROM sent WHERE u.id = sent.id",
    ],
)
def test_what_marks_people_sees_them_as_sent(update: str, tmp_path: Path, shop: str) -> None:
    root = loop_with(tmp_path, "SELECT * FROM users")
    text = (root / "hello.yaml").read_text(encoding="utf-8")
    (root / "hello.yaml").write_text(text.replace("    action:", f'    on_sent: "{update}"\n    action:'))
    assert faults(root, shop) == []
    with psycopg.connect(shop) as conn:
        assert conn.execute("SELECT count(*) FROM users").fetchone() == (0,)
