"""Upkeep: once an hour, what no run came back for. It decides nothing about anybody."""

from __future__ import annotations

import logging
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from skene_airflow.channels import CHANNELS
from skene_airflow.errors import SkeneError, unexpected
from skene_airflow.ledger import control, events
from skene_airflow.nouns import Mode
from skene_airflow.stages.goals import Asked, look_for_goals
from skene_airflow.stages.mark import mark
from skene_airflow.stages.putting import Putter
from skene_airflow.stages.send import Sender, Sent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from contextlib import AbstractContextManager

    from skene_airflow.channels import Channel
    from skene_airflow.ledger import Ledger
    from skene_airflow.settings import Settings
    from skene_airflow.stages.job import Job

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Kept:
    """What upkeep did; safe to store anywhere."""

    sent: int = 0
    marked: int = 0
    reached: int = 0
    expired: int = 0
    uncertain: int = 0
    erased: int = 0
    failed: dict[str, str] = field(default_factory=dict)

    def counts(self) -> dict[str, object]:
        """The same as plain data."""
        return asdict(self)


def upkeep(
    ledger: Ledger,
    settings: Settings,
    jobs: Iterable[Job],
    channel: Callable[[Job], AbstractContextManager[Channel | None]],
    alive: Callable[[], bool] = lambda: True,
    tell: Callable[[Job, Sent], None] = lambda _job, _sent: None,
) -> Kept:
    """Send what is left of live loops, mark it, record goals, expire what is late, erase what is old.

    ``jobs`` has one job for each step of a loop whose file loads. A loop that fails never keeps another waiting;
    its words are in ``failed``. ``alive`` is as for Sender; ``tell`` hears what was sent for each job.
    """
    kept = Kept()
    if settings.auto_migrate:
        ledger.migrate()
    for job in jobs:
        try:
            if _owes(job):
                with channel(job) as way:
                    sender = Putter(job, 0, alive) if way is None else Sender(job, 0, way, alive)
                    _send(sender, kept, partial(tell, job))
            kept.marked += mark(job).people
            if job.step is job.loop.steps[0]:
                kept.reached += look_for_goals(job.loop, Asked(job.source, job.ledger, job.timezone))
        except Exception as error:  # noqa: BLE001 - whatever one loop's trouble is, the next loop's mail must leave
            words = str(error) if isinstance(error, SkeneError) else unexpected(error)
            kept.failed[f"{job.loop.id}.{job.step.id}"] = words
            log.error("upkeep: %s: %s", job.loop.id, words)
    windows = {name: kind.window for name, kind in CHANNELS.items()}
    tidied = control.tidy(ledger, windows, settings.retention_days)
    kept.expired, kept.erased = tidied["expired"], tidied["erased"]
    kept.uncertain += tidied["uncertain"]
    # A provider may have told of a mail before its row was given up.
    kept.uncertain = max(0, kept.uncertain - events.settle(ledger))
    kept.erased += events.erase(ledger, settings.retention_days)
    log.info("upkeep: %s", ", ".join(f"{count} {name}" for name, count in kept.counts().items() if name != "failed"))
    return kept


def _owes(job: Job) -> bool:
    return job.loop.mode == "live" and control.has_open(job.ledger, job.names)


def _send(sender: Sender | Putter, kept: Kept, tell: Callable[[Sent], None]) -> None:
    try:
        sender.drain(Mode.LIVE)
    finally:
        kept.sent += sender.done.sent
        kept.uncertain += sender.done.uncertain
        tell(sender.done)
