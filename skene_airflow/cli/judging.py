"""What `plan` and `explain` share: the deployment's ledger, only read, and the run that they stand for."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator
    from datetime import datetime

    from skene_airflow.ledger import Ledger
    from skene_airflow.loop.schema import Loop, Step
    from skene_airflow.settings import Settings
    from skene_airflow.stages.job import Job


@dataclass(frozen=True, slots=True)
class Bench:
    """The ledger, whether there is one in its database, and the moment that is looked at."""

    ledger: Ledger
    exists: bool
    now: datetime
    settings: Settings
    timezone: str
    source: str | None

    def job(self, loop: Loop, step: Step) -> Job:
        """The run of this step that would start now."""
        from skene_airflow.cli.deployment import connector, hasura
        from skene_airflow.stages.job import Job, RunFacts, source_of
        from skene_airflow.stages.plan import PLANNED

        facts = RunFacts("plan", "manual", self.now, PLANNED, self.timezone, asks=True)
        source = connector(self.source, source_of(loop, self.settings))
        asked = partial(hasura, None, loop.connections.hasura)
        return Job(loop, step, facts, self.settings, source, self.ledger, asked)


@contextmanager
def looking(args: argparse.Namespace) -> Iterator[Bench]:
    """The deployment, for looking only: nothing is migrated. Raises SettingsError and LedgerError."""
    from skene_airflow.cli.deployment import default_timezone, ledger, settings
    from skene_airflow.ledger.ledger import now
    from skene_airflow.stages.rehearse import ledger_exists

    book = ledger(args.ledger)
    try:
        exists = ledger_exists(book)
        yield Bench(book, exists, now(book), settings(), default_timezone(), args.source)
    finally:
        book.close()
