"""Every pattern is sound as it stands: no fault, no warning, and its query runs on a shop's tables."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import psycopg
import pytest

from skene_airflow.loop.lint import lint_loops
from skene_airflow.loop.patterns import MORE, NAME, PATTERNS, scaffold
from skene_airflow.stages.check import check_folder
from skene_airflow.stages.describe import check_sources

TABLES = """
CREATE TABLE users (
    id bigint, email text, name text, created_at timestamptz, last_activity_at timestamptz, plan text
);
CREATE TABLE orders (user_id bigint, ordered_at timestamptz, quantity integer);
CREATE TABLE events (user_id bigint, name text, created_at timestamptz);
"""


def write(root: Path, pattern: str, name: str) -> None:
    (root / "templates").mkdir(parents=True, exist_ok=True)
    for path, text in scaffold(pattern, name).items():
        (root / path).write_text(text, encoding="utf-8")


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_pattern_is_sound(pattern: str, tmp_path: Path, pg: str) -> None:
    write(tmp_path / "loops", pattern, "my_loop")
    folder = check_folder(tmp_path / "loops")
    assert folder.errors == ()
    assert [loop.id for loop in folder.loops] == ["my_loop"]
    assert lint_loops(folder.loops) == []
    with psycopg.connect(pg) as conn:
        conn.execute(TABLES)
    assert check_sources(folder.loops, lambda _: partial(psycopg.connect, pg)) == []


@pytest.mark.parametrize("pattern", PATTERNS)
def test_the_name_stands_wherever_it_should(pattern: str) -> None:
    texts = scaffold(pattern, "my_loop")
    assert not [path for path, text in texts.items() if NAME in text]
    yaml = next(iter(texts.values()))
    assert yaml.startswith("# loops/my_loop.yaml\n")
    assert "template: my_loop\n" in yaml


def test_no_pattern_is_left_over() -> None:
    folder = Path(__file__).parents[3] / "skene_airflow" / "loop" / "patterns"
    templates = {*PATTERNS, *(f"{pattern}_{name}" for pattern, names in MORE.items() for name in names)}
    assert {path.stem for path in folder.glob("*.yaml")} == set(PATTERNS)
    assert {path.stem for path in folder.glob("*.html")} == templates


def test_an_unknown_pattern_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        scaffold("../dormant", "x")
