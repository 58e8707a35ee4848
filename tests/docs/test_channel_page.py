"""The page about answers is fresh and tells every one of them. After a change: run with `SKENE_GOLDEN=write`."""

from __future__ import annotations

import os
from pathlib import Path

from skene_airflow.channels import CHANNELS
from skene_airflow.nouns import Answer
from tests.docs.channel_page import _ANSWERS, _NOTES, channels_page

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "channels.md"


def test_it_is_fresh() -> None:
    if os.environ.get("SKENE_GOLDEN") == "write":
        PAGE.write_text(channels_page(), encoding="utf-8")
    assert channels_page() == PAGE.read_text(encoding="utf-8"), "run it once with SKENE_GOLDEN=write"


def test_every_answer_and_every_channel_is_told() -> None:
    assert set(_ANSWERS) == set(Answer)
    assert set(_NOTES) == set(CHANNELS)


def test_every_line_of_a_table_can_be_reached() -> None:
    for channel in CHANNELS.values():
        words = {word for rule in channel.table for word in rule.said} | {"anything else"}
        reached = {
            next(index for index, rule in enumerate(channel.table) if rule.fits(code, word))
            for code in range(1000)
            for word in words
        }
        assert reached == set(range(len(channel.table))), channel.name
