from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from skene_airflow.loop.patterns import PATTERNS

Said = Callable[..., tuple[int, str, str]]


@pytest.mark.parametrize("pattern", PATTERNS)
def test_every_pattern_validates_as_it_stands(said: Said, here: Path, pattern: str) -> None:
    code, out, err = said("new", pattern, "hello_you")
    assert (code, err) == (0, "")
    assert "wrote loops/hello_you.yaml\n" in out
    assert (here / "loops" / "templates" / "hello_you.html").is_file()
    assert said("lint", "loops/hello_you.yaml") == (0, "1 loop, 0 faults\n", "")
    assert "loops/hello_you.yaml" not in said("lint")[1]
    assert said("validate", "loops/hello_you.yaml") == (0, "1 loop, 0 faults\n", "")


@pytest.mark.parametrize("words", [["dormnt", "x"], ["dormant", "Bad-Name"], ["dormant", "skene_upkeep"]])
def test_a_word_it_does_not_know_is_2_and_writes_nothing(said: Said, here: Path, words: list[str]) -> None:
    code, out, err = said("new", *words)
    assert (code, out) == (2, "")
    assert err.startswith("skene-airflow new: ")
    assert [path.name for path in (here / "loops").glob("*.yaml")] == ["re_engagement.yaml"]


def test_the_pattern_that_was_meant_is_named(said: Said) -> None:
    assert "did you mean 'dormant'?" in said("new", "dormnt", "x")[2]


def test_nothing_is_overwritten(said: Said, here: Path) -> None:
    (here / "loops" / "sub").mkdir()
    (here / "loops" / "sub" / "mine.yml").write_text("mine\n", encoding="utf-8")
    (here / "loops" / "templates" / "other.html").write_text("mine\n", encoding="utf-8")
    for name in ("mine", "other", "re_engagement"):
        code, _, err = said("new", "dormant", name)
        assert code == 2
        assert "nothing was written" in err
    assert (here / "loops" / "templates" / "other.html").read_text(encoding="utf-8") == "mine\n"
