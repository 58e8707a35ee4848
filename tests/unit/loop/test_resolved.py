"""The loop that counts, and where each of its values is written."""

from __future__ import annotations

import pytest

from skene_airflow.loop.fields import duration
from skene_airflow.loop.forms import duration_text
from skene_airflow.loop.resolved import Resolved, resolved
from tests.unit.loop.conftest import LoopRoom


def by_path(values: list[Resolved]) -> dict[str, Resolved]:
    return {value.path: value for value in values}


def test_own_values_inherited_values_and_defaults_are_told_apart(room: LoopRoom, reference: str) -> None:
    room.write("_defaults.yaml", "owner: growth\nrecovery: {retry_delay: 1m}\naction: {reply_to: hi@acme.example}\n")
    found = by_path(resolved(room.good(reference)))
    assert found["recovery.retries"] == Resolved(("recovery", "retries"), 3, "loops/re_engagement.yaml", 20, 12)
    assert (found["owner"].value, found["owner"].origin) == ("growth", "loops/_defaults.yaml:1")
    assert (found["recovery.retry_delay"].value, found["recovery.retry_delay"].origin) == (
        "1m",
        "loops/_defaults.yaml:2",
    )
    assert found["steps[0].action.reply_to"].origin == "loops/_defaults.yaml:3"
    assert (found["expires_after"].value, found["expires_after"].origin) == ("24h", "default")
    assert (found["entry"].value, found["connections.email"].value) == ("once", "resend_default")
    assert "action.reply_to" not in found


def test_a_condition_in_short_shows_its_timeout_too(room: LoopRoom) -> None:
    text = "type: x\nopinion: x\nsteps:\n  - trigger: {type: manual}\n    condition: SELECT 1 AS id, '' AS email\n"
    found = by_path(resolved(room.good(f"{text}    action: {{type: email, template: hello}}\n")))
    assert found["steps[0].condition.query"].origin == "loops/re_engagement.yaml:5"
    assert found["steps[0].condition.type"].origin == "default"
    assert found["steps[0].condition.timeout"].value == "10m"


@pytest.mark.parametrize("text", ["30s", "90s", "10m", "1h", "24h", "36h", "2d", "7d", "60d"])
def test_durations_come_back_as_they_were_written(text: str) -> None:
    assert duration_text(duration(text)) == text
