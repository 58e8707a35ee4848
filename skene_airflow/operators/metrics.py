"""Counts to Airflow's own metrics (StatsD or OpenTelemetry, whatever the deployment has on); never a person.

``skene.candidates`` (loop, step, mode), ``skene.verdicts`` (also verdict, reason), ``skene.sends`` (loop, step,
outcome) and ``skene.send_errors`` (loop, step, error) are counters.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.sdk.observability import stats

from skene_airflow.nouns import Verdict

if TYPE_CHECKING:
    from skene_airflow.stages.job import Job
    from skene_airflow.stages.segment import Segmented
    from skene_airflow.stages.send import Sent


def tell_decided(job: Job, segmented: Segmented) -> None:
    """What became of the candidates of a run."""
    facts = _facts(job) | {"mode": str(segmented.mode)}
    _count("skene.candidates", segmented.candidates, facts)
    for verdict, number in segmented.verdicts.items():
        if verdict == Verdict.SKIP:
            for reason, skipped in number.items():
                _count("skene.verdicts", skipped, facts | {"verdict": str(verdict), "reason": str(reason)})
        else:
            _count("skene.verdicts", number, facts | {"verdict": str(verdict), "reason": "none"})


def tell_sent(job: Job, sent: Sent) -> None:
    """What one sender did, also when it failed in the end."""
    outcomes = {"sent": sent.sent, "failed": sent.failed, "uncertain": sent.uncertain, "left_out": sent.left_out}
    for outcome, number in outcomes.items():
        _count("skene.sends", number, _facts(job) | {"outcome": outcome})
    for error, number in sent.errors.items():
        _count("skene.send_errors", number, _facts(job) | {"error": error})


def _facts(job: Job) -> dict[str, str]:
    return {"loop": job.loop.id, "step": job.step.id}


def _count(name: str, number: int, tags: dict[str, str]) -> None:
    if number:
        stats.incr(name, number, tags=tags)
