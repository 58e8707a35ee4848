"""Every fault that a template can have: a broken one, and exactly what is said about it."""

from __future__ import annotations

from pathlib import Path

import pytest

from skene_airflow.message.codes import Code
from skene_airflow.stages.check import check_folder
from tests.golden_cases import cases, expected, lay_out

# The schema of loops knows names more narrowly, and speaks first.
NEVER_FIRST = {"SK301"}


@pytest.mark.parametrize("case", cases("templates", ".yaml", ".html"), ids=lambda case: case.stem)
def test_says_exactly_what_is_written_beside_the_case(case: Path, tmp_path: Path) -> None:
    folder = check_folder(lay_out(case, tmp_path / "loops"))
    assert folder.loops == ()
    said = "".join(f"{error}\n" for error in folder.errors)
    assert said == expected(case, said)
    assert f"[{case.name[:5]}]" in said


def test_every_code_has_a_case() -> None:
    assert {case.name[:5] for case in cases("templates", ".yaml", ".html")} == {
        code.value for code in Code
    } - NEVER_FIRST
