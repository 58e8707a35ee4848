"""What a plan and an explanation say of a step that follows another: what its run will do."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from skene_airflow.ledger import Ledger
from skene_airflow.stages.explain import explain, explain_past
from skene_airflow.stages.plan import plan_step
from tests.integration.journey import Journey
from tests.integration.shop import everybody


@pytest.mark.parametrize("condition", ["", "SELECT * FROM users WHERE id > 1"])
@pytest.mark.parametrize("standby", [False, True])
def test_the_plan_counts_what_the_run_does(journey: Journey, condition: str, standby: bool) -> None:
    journey.write(keys="entry: {per: [name]}", condition=condition)
    journey.shop.dormant(3)
    journey.first()
    journey.days_pass(8)
    journey.shop.sql("UPDATE users SET name = 'another'")
    journey.first()
    journey.shop.dormant(2, first=4)

    def read_only() -> psycopg.Connection[Any]:
        return psycopg.connect(journey.shop.uri, options="-c default_transaction_read_only=on")

    now = datetime.now(UTC)
    for _ in range(2):
        job = journey.job(1, as_of=now)
        with closing(Ledger(read_only if standby else journey.shop.connect)) as ledger:
            planned = plan_step(replace(job, ledger=ledger), exists=True)
        assert planned.error is None
        ran = journey.shop.run(journey.channel, job)
        assert (planned.candidates, planned.verdicts) == (ran.candidates, ran.verdicts)
    assert journey.seconds() == everybody(2, first=2) if condition else everybody(3)


@pytest.mark.parametrize("condition", ["", "SELECT * FROM users"])
def test_without_a_ledger_nobody_is_due(journey: Journey, condition: str) -> None:
    journey.write(condition=condition)
    journey.shop.dormant(3)
    planned = plan_step(journey.job(1), exists=False)
    assert (planned.error, planned.verdicts["send"]) == (None, 0)
    assert planned.verdicts["skip"] == ({"not_due": 3} if condition else {})


@pytest.mark.parametrize("condition", ["", "SELECT * FROM users"])
def test_it_is_explained_whose_turn_it_is(journey: Journey, condition: str) -> None:
    journey.write(condition=condition)
    journey.shop.dormant(2)
    nobody = explain(journey.job(1), "1", exists=False)
    assert (nobody.verdict, nobody.reason) == ("skip", "not_due")
    journey.first()
    journey.days_pass(3)
    waits = explain(journey.job(1), "1", exists=True)
    assert (waits.verdict, waits.reason) == ("skip", "not_due")
    gate = next(each for each in waits.gates if each.gate == "not_due")
    (entry,) = gate.facts["entries"]
    sent = datetime.fromisoformat(entry["sent_at"])
    assert datetime.fromisoformat(entry["due_from"]) - sent == timedelta(days=7)
    assert datetime.fromisoformat(entry["due_until"]) - sent == timedelta(days=37)
    assert gate.says.startswith("the mail of 'first' was sent")
    journey.days_pass(5)
    assert explain(journey.job(1), "1", exists=True).verdict == "send"
    assert explain(journey.job(1), "somebody", exists=True).verdict == "not_named"
    journey.second()
    past = explain_past(journey.job(1), "1", datetime.now(UTC), exists=True)
    assert (past.verdict, past.entries[0].outcome) == ("send", "sent")
