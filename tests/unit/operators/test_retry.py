from __future__ import annotations

import json
from datetime import timedelta

import pytest
from airflow.sdk.definitions.retry_policy import RetryAction

from skene_airflow.errors import AccountError, ConfError, LedgerError, SendInterrupted, SettingsError, SkeneError
from skene_airflow.operators.retry import LoopRetryPolicy

REFERENCE = LoopRetryPolicy(retries=3, delay=30, longest=600, exponential=True)
MANY = range(200)


def delays(
    policy: LoopRetryPolicy, try_number: int, max_tries: int = 3, error: SkeneError | None = None
) -> list[float]:
    decided = [policy.evaluate(error or LedgerError(), try_number, max_tries) for _ in MANY]
    assert {one.action for one in decided} == {RetryAction.RETRY}
    return [one.retry_delay.total_seconds() for one in decided if one.retry_delay is not None]


@pytest.mark.parametrize("error", [AccountError("a"), ConfError("c"), SettingsError("s")])
def test_what_only_a_person_can_mend_ends_at_once(error: SkeneError) -> None:
    assert REFERENCE.evaluate(error, 1, 3).action is RetryAction.FAIL


@pytest.mark.parametrize(("try_number", "low", "high"), [(1, 30, 60), (2, 60, 120), (3, 120, 240), (9, 300, 600)])
def test_each_try_waits_longer_and_mapped_siblings_never_at_one_moment(try_number: int, low: int, high: int) -> None:
    waited = delays(REFERENCE, try_number, max_tries=3)
    assert low <= min(waited) <= max(waited) <= high
    assert len(set(waited)) >= len(MANY) - 2  # of microseconds: two alike come once in a thousand runs
    assert max(waited) - min(waited) > (high - low) / 2


def test_a_cleared_task_begins_again_with_the_short_delay() -> None:
    # Airflow numbers the tries of a cleared task on: the fifth is its first, and three more may follow.
    assert max(delays(REFERENCE, 5, max_tries=7)) <= 60


def test_a_fixed_delay_stays_near_what_it_says() -> None:
    waited = delays(LoopRetryPolicy(3, 30, 600, exponential=False), 3)
    assert 30 <= min(waited) < max(waited) <= 37.5


def test_the_provider_is_left_alone_as_long_as_it_asked() -> None:
    waited = delays(REFERENCE, 1, error=SendInterrupted("busy", retry_after=3600))
    assert 3600 <= min(waited) < max(waited) <= 3600 * 1.05


def test_airflow_can_store_it() -> None:
    stored = json.loads(json.dumps(REFERENCE.serialize()))
    assert LoopRetryPolicy.deserialize(stored) == REFERENCE


def test_no_delay_is_no_trouble() -> None:
    decided = LoopRetryPolicy(3, 0, 600, exponential=True).evaluate(LedgerError(), 1, 3)
    assert decided.retry_delay == timedelta(0)
