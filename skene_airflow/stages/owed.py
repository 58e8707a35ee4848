"""Owed: which loops still have changes to judge, though no new one may come to start them."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import TYPE_CHECKING

from skene_airflow.errors import SkeneError
from skene_airflow.ledger import changes, control
from skene_airflow.nouns import Mode
from skene_airflow.stages.mode import lowered

if TYPE_CHECKING:
    from collections.abc import Sequence

    from skene_airflow.ledger import Ledger
    from skene_airflow.settings import Settings
    from skene_airflow.stages.job import Job

log = logging.getLogger(__name__)


def owed(ledger: Ledger, settings: Settings, jobs: Sequence[Job]) -> dict[str, int]:
    """How many changes are due to each loop that would mail, and is not stopped; erases rows that are due to nobody.

    ``jobs`` has one job for each step of a loop whose file loads.
    """
    if settings.auto_migrate:
        ledger.migrate()
    stopped = {row["loop_id"] for row in control.stopped(ledger)}
    found, longest = {}, timedelta(0)
    for job in jobs:
        mode = lowered(Mode(job.loop.mode), settings.max_mode)
        wanted = job.changes(mode, job.loop.expires_after)
        if wanted is None:
            continue
        longest = max(longest, job.loop.expires_after)
        if mode is Mode.SHADOW or stopped & {control.ALL, *job.names.loop_ids}:
            continue
        _fetch(job)
        if number := changes.owed(ledger, wanted):
            found[job.loop.id] = number
            log.info("restart: %s has %s changes that are still due", job.loop.id, number)
    erased = changes.erase(ledger, settings.retention_days, longest)
    log.info("restart: %s loops owe something, %s old rows erased", len(found), erased)
    return found


def _fetch(job: Job) -> None:
    try:
        job.fetch()
    except SkeneError as error:  # one source that cannot be reached must not keep the other loops waiting
        log.warning("restart: %s: %s", job.loop.id, error)
