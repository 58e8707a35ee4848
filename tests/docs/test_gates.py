"""The page of gates says what the code does: every reason, in order, in the same words."""

from __future__ import annotations

import re
from pathlib import Path

from skene_airflow.audience.gates import GATES
from skene_airflow.nouns import Reason

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "gates.md"
ROWS = [
    [cell.strip() for cell in row.strip("|").split("|")]
    for row in re.findall(r"^\| `.*$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
]


def test_every_reason_is_there_once() -> None:
    assert sorted(row[0].strip("`") for row in ROWS) == sorted(Reason)


def test_gates_stand_in_their_order_with_their_words() -> None:
    for row, gate in zip(ROWS, GATES, strict=False):
        reason, words, again, transactional = row
        assert reason.strip("`") == gate.reason
        assert words.removesuffix(" (counted, not listed)") == gate.says
        assert gate.excuses == (transactional == "passes")
        assert again or not gate.again
