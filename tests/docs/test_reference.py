"""The made pages are fresh, and nothing is missing on them. After a change: run with `SKENE_GOLDEN=write`."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from skene_airflow.loop.json_schema import loop_schema
from tests.docs.reference_pages import FOLDER, PAGES, titles

PACKAGE = Path(__file__).resolve().parents[2] / "skene_airflow"


@pytest.mark.parametrize("name", PAGES)
def test_it_is_fresh(name: str) -> None:
    page, file = PAGES[name](), FOLDER / name
    if os.environ.get("SKENE_GOLDEN") == "write":
        file.write_text(page, encoding="utf-8")
    assert page == file.read_text(encoding="utf-8"), "run it once with SKENE_GOLDEN=write"


def test_every_code_that_can_be_said_has_a_heading() -> None:
    said = {code for file in PACKAGE.rglob("*.py") for code in re.findall(r'"(SK\d{3})"', file.read_text("utf-8"))}
    headed = set(re.findall(r"^## (SK\d{3})$", (FOLDER / "codes.md").read_text(encoding="utf-8"), re.MULTILINE))
    assert said <= headed
    assert headed == set(titles())


def test_every_code_has_a_title_that_ends_well() -> None:
    for code, title in titles().items():
        assert title[0].isupper() or title[0] == "`", code
        assert title[-1] not in ".:;", code


def test_every_key_of_the_language_has_a_row() -> None:
    rows = set(re.findall(r"^\| `(\w+)` \|", (FOLDER / "loops.md").read_text(encoding="utf-8"), re.MULTILINE))
    schema = loop_schema()
    assert rows == {key for part in (schema, *schema["$defs"].values()) for key in part.get("properties", {})}
