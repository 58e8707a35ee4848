"""When a failed task is tried again: `recovery` of the loop, what the provider asked for, and jitter of our own.

Airflow's own backoff gives all mapped shards of a run the same delay (its jitter knows no map index), counts the
tries of every Clear before, and cannot hear of a provider's Retry-After.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Self

from airflow.sdk.definitions.retry_policy import RetryDecision, RetryPolicy

from skene_airflow.errors import FINAL

if TYPE_CHECKING:
    from airflow.sdk import Context

# How far a delay is stretched, so that shards do not call at one moment; never above `max_retry_delay`.
_ASKED = (1.0, 1.05)
_FIXED = (1.0, 1.25)
_EXPONENTIAL = (0.5, 1.0)


@dataclass(frozen=True, slots=True)
class LoopRetryPolicy(RetryPolicy):
    """Fail at once what only a person can mend; wait as the provider asked; else back off.

    Delays are in seconds. ``retries`` is how many tries of the task follow the first one.
    """

    retries: int
    delay: float
    longest: float
    exponential: bool

    def evaluate(
        self,
        exception: BaseException,
        try_number: int,
        max_tries: int,
        context: Context | None = None,  # noqa: ARG002 - Airflow's signature
    ) -> RetryDecision:
        """What Airflow does after ``exception``."""
        if isinstance(exception, FINAL):
            return RetryDecision.fail("only a person can mend this: another try would end the same way")
        asked = getattr(exception, "retry_after", None)
        if asked is not None:
            seconds = asked * random.uniform(*_ASKED)
            return RetryDecision.retry(timedelta(seconds=seconds), "the provider wants to be left alone until then")
        return RetryDecision.retry(timedelta(seconds=self._backoff(self._failures(try_number, max_tries))))

    def _failures(self, try_number: int, max_tries: int) -> int:
        """How many tries failed since the task was last cleared: Airflow numbers them on and on."""
        return max(1, try_number - max(0, max_tries - self.retries))

    def _backoff(self, failures: int) -> float:
        if not self.exponential:
            return self.delay * random.uniform(*_FIXED)
        ceiling = min(self.longest, self.delay * 2.0 ** min(failures, 30))
        return ceiling * random.uniform(*_EXPONENTIAL)

    def serialize(self) -> dict[str, Any]:
        """Plain data for Airflow."""
        return {
            "retries": self.retries,
            "delay": self.delay,
            "longest": self.longest,
            "exponential": self.exponential,
        }

    @classmethod
    def deserialize(cls, data: dict[str, Any]) -> Self:
        """The policy that `serialize` wrote down."""
        return cls(**data)
