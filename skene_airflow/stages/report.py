"""Report: does the run add up, and has all its mail left? A run that cannot answer yes fails."""

from __future__ import annotations

import logging
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from skene_airflow.errors import BrakeHeld, QueryError, RunDoesNotAddUp, RunInDoubt
from skene_airflow.ledger import control, runs
from skene_airflow.nouns import Mode, Status, Verdict
from skene_airflow.stages.brakes import told
from skene_airflow.stages.goals import Asked, look_for_goals
from skene_airflow.stages.mark import mark
from skene_airflow.stages.mode import lowered

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from skene_airflow.ledger.runs import Run
    from skene_airflow.stages.job import Job

log = logging.getLogger(__name__)

OPEN = (Status.QUEUED, Status.SENDING, Status.UNCERTAIN)


@dataclass(frozen=True, slots=True)
class RunReport:
    """What happened in a run; safe to store anywhere."""

    mode: str
    candidates: int
    duplicate_rows: int
    verdicts: Mapping[str, Any]
    statuses: Mapping[str, int]

    @property
    def nobody(self) -> bool:
        """Nobody was in the audience: neither mail nor holdout."""
        return not self.verdicts.get(Verdict.SEND) and not self.verdicts.get(Verdict.HOLD_OUT)

    def counts(self) -> dict[str, Any]:
        """The same as plain data."""
        return asdict(self)


def report(job: Job, failed_tasks: Sequence[str] = ()) -> RunReport:
    """Close the run.

    Raises BrakeHeld if a brake held the run, RunInDoubt if only doubt is left, RunDoesNotAddUp if a task failed, a
    count is off, or mail of the run is still open; QueryError if nothing but `on_sent` went wrong.
    """
    run = runs.find(job.ledger, job.loop.id, job.step.id, job.run.run_id)
    if run is None or not run.staged or not run.decided:
        names = ", ".join(failed_tasks) or "evaluate, segment"
        raise RunDoesNotAddUp(f"Nobody was judged in this run, because of: {names}. Nothing was sent.")
    statuses = runs.finish(job.ledger, run)
    _tell(run, statuses)
    unmarked = _mark(job)
    _look(job, run)
    uneven = _uneven(run, statuses)
    faults = [*uneven, *_open(job, run, statuses)]
    if run.brakes and run.mode is not Mode.SHADOW and not faults:
        raise BrakeHeld(told(run.brakes))
    if not (uneven or failed_tasks or unmarked) and _only_doubt(job, run, statuses):
        raise RunInDoubt(_in_doubt(run, statuses[Status.UNCERTAIN]))
    if failed_tasks:
        faults.append(f"failed: {', '.join(failed_tasks)}")
    if unmarked is not None:
        if not faults:
            raise unmarked
        faults.append(str(unmarked))
    if faults:
        raise RunDoesNotAddUp(
            f"The run is not done: {'; '.join(faults)}. Clear the failed task; nobody is mailed twice."
        )
    return RunReport(run.mode, run.candidates or 0, run.duplicate_rows or 0, dict(run.verdicts or {}), statuses)


def _mark(job: Job) -> QueryError | None:
    try:
        marked = mark(job)
    except QueryError as error:
        return error
    if marked.batches:
        log.info("report: on_sent ran for %s batches, %s people", marked.batches, marked.people)
    return None


def _look(job: Job, run: Run) -> None:
    # Goals come for weeks: a run that has mailed everybody does not fail because today's cannot be asked for.
    if run.mode is not Mode.LIVE or job.step is not job.loop.steps[0]:
        return
    try:
        look_for_goals(job.loop, Asked(job.source, job.ledger, job.timezone))
    except QueryError as error:
        log.warning("report: goals could not be recorded, and skene_upkeep tries again: %s", error)


def _uneven(run: Run, statuses: Mapping[str, int]) -> list[str]:
    faults = []
    judged = sum(run.count(verdict) for verdict in Verdict)
    if judged != run.candidates:
        faults.append(f"{run.candidates} candidates, but {judged} verdicts")
    if run.mode is Mode.SHADOW:
        return faults
    held = statuses.get(Status.HELD_OUT, 0)
    if held != run.count(Verdict.HOLD_OUT):
        faults.append(f"{run.count(Verdict.HOLD_OUT)} to hold out, but {held} held out")
    rest = sum(n for status, n in statuses.items() if status not in {Status.HELD_OUT, Status.EXISTING})
    if rest != run.count(Verdict.SEND):
        faults.append(f"{run.count(Verdict.SEND)} to send, but {rest} deliveries")
    return faults


def _open(job: Job, run: Run, statuses: Mapping[str, int]) -> list[str]:
    still = [f"{statuses[status]} {status}" for status in OPEN if statuses.get(status)]
    if not still:
        return []
    said = ", ".join(f"{error} {count}" for error, count in runs.open_causes(job.ledger, run).items())
    return [*still, *([f"the provider's last answer: {said}"] if said else []), *_held_back(job, run)]


def _only_doubt(job: Job, run: Run, statuses: Mapping[str, int]) -> bool:
    """Whether all that is open is uncertain for good: what is in a batch may still be asked about."""
    still = {status for status in OPEN if statuses.get(status)}
    return still == {Status.UNCERTAIN} and not control.has_open(job.ledger, job.names, run.mode)


def _in_doubt(run: Run, people: int) -> str:
    return (
        f"Everything else is done, but {people} uncertain: nobody can know whether that mail left. Look at it with"
        f" `skene-airflow deliveries list --loop {run.loop_id} --status uncertain`, then settle, retry or abandon it,"
        " and clear this task. No retry would change it."
    )


def _held_back(job: Job, run: Run) -> list[str]:
    """What somebody has set so that this mail does not leave."""
    faults = []
    ceiling = job.settings.max_mode
    if lowered(run.mode, ceiling) is not run.mode:
        faults.append(f"[skene] max_mode is {ceiling}, so nothing {run.mode} is sent")
    if {row["loop_id"] for row in control.stopped(job.ledger)} & {control.ALL, run.loop_id}:
        faults.append(f"the loop is stopped (`skene-airflow start {run.loop_id}` undoes it)")
    return faults


def _tell(run: Run, statuses: Mapping[str, int]) -> None:
    said = ", ".join(f"{count} {status}" for status, count in sorted(statuses.items())) or "no mail"
    if run.mode is Mode.SHADOW:
        said = f"shadow: a live run would have mailed {run.count(Verdict.SEND)}"
    log.info(
        "report: %s candidates (%s duplicate rows dropped), %s skipped; %s",
        run.candidates,
        run.duplicate_rows,
        run.count(Verdict.SKIP),
        said,
    )
