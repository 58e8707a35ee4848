from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.observability import stats

from skene_airflow.operators import metrics
from skene_airflow.stages.segment import Segmented
from skene_airflow.stages.send import Sent

JOB: Any = SimpleNamespace(loop=SimpleNamespace(id="x"), step=SimpleNamespace(id="main"))


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int, dict[str, str]]]:
    calls: list[tuple[str, int, dict[str, str]]] = []
    monkeypatch.setattr(stats, "incr", lambda name, count, tags: calls.append((name, count, tags)))
    return calls


def test_what_was_decided(told: list[tuple[str, int, dict[str, str]]]) -> None:
    verdicts = {"send": 3, "hold_out": 0, "skip": {"suppressed": 2}}
    metrics.tell_decided(JOB, Segmented("live", 5, 0, verdicts, [0]))
    facts = {"loop": "x", "step": "main", "mode": "live"}
    assert told == [
        ("skene.candidates", 5, facts),
        ("skene.verdicts", 3, facts | {"verdict": "send", "reason": "none"}),
        ("skene.verdicts", 2, facts | {"verdict": "skip", "reason": "suppressed"}),
    ]


def test_what_was_sent(told: list[tuple[str, int, dict[str, str]]]) -> None:
    metrics.tell_sent(JOB, Sent(sent=7, failed=1, calls=4, errors={"rate_limit_exceeded": 2}))
    facts = {"loop": "x", "step": "main"}
    assert told == [
        ("skene.sends", 7, facts | {"outcome": "sent"}),
        ("skene.sends", 1, facts | {"outcome": "failed"}),
        ("skene.send_errors", 2, facts | {"error": "rate_limit_exceeded"}),
    ]
