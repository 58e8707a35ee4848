"""Upkeep: once an hour, what no run came back for. It decides nothing about anybody."""

from __future__ import annotations

import logging
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

from skene_airflow.channels import CHANNELS
from skene_airflow.errors import SkeneError
from skene_airflow.ledger import control
from skene_airflow.nouns import Mode
from skene_airflow.stages.mark import mark
from skene_airflow.stages.send import Sender

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
    channel: Callable[[Job], AbstractContextManager[Channel]],
) -> Kept:
    """Send what is left of live loops, mark it, expire what is late, erase what is old.

    ``jobs`` has one job for each step of a loop whose file loads. A loop that fails never keeps another waiting;
    its words are in ``failed``.
    """
    kept = Kept()
    if settings.auto_migrate:
        ledger.migrate()
    for job in jobs:
        try:
            _one(job, channel, kept)
        except SkeneError as error:
            kept.failed[f"{job.loop.id}.{job.step.id}"] = str(error)
            log.error("upkeep: %s: %s", job.loop.id, error)
    windows = {name: kind.window for name, kind in CHANNELS.items()}
    tidied = control.tidy(ledger, windows, settings.retention_days)
    kept.expired, kept.erased = tidied["expired"], tidied["erased"]
    kept.uncertain += tidied["uncertain"]
    log.info("upkeep: %s", ", ".join(f"{count} {name}" for name, count in kept.counts().items() if name != "failed"))
    return kept


def _one(job: Job, channel: Callable[[Job], AbstractContextManager[Channel]], kept: Kept) -> None:
    if job.loop.mode == "live" and control.has_open(job.ledger, job.loop.id, job.step.id):
        with channel(job) as way:
            done = Sender(job, 0, way).drain(Mode.LIVE)
        kept.sent += done.sent
        kept.uncertain += done.uncertain
    kept.marked += mark(job).people
