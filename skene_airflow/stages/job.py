"""What every stage is given: the loop and step, the run's facts, the settings, and the two databases."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from skene_airflow.audience.changes import changes_of, qualified
from skene_airflow.audience.condition import Question
from skene_airflow.audience.hasura import QUERY, fetch
from skene_airflow.errors import SkeneError
from skene_airflow.feedback.outbox import Outbox
from skene_airflow.ledger import Ledger, changes, runs
from skene_airflow.ledger.runs import Names
from skene_airflow.loop.schema import (
    AfterTrigger,
    DatabaseTrigger,
    EmailAction,
    GraphqlCondition,
    InAppAction,
    QueryCondition,
)
from skene_airflow.nouns import Mode
from skene_airflow.stages.mode import lowered

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime, timedelta

    import psycopg

    from skene_airflow.audience.hasura import People
    from skene_airflow.hasura.client import Hasura
    from skene_airflow.ledger.runs import Run
    from skene_airflow.loop.schema import Loop, Step
    from skene_airflow.settings import Settings


@dataclass(frozen=True, slots=True)
class RunFacts:
    """What the orchestrator says of the run: Airflow's run id and type, its moment, its conf, its default zone."""

    run_id: str
    run_type: str
    as_of: datetime
    conf: Mapping[str, object] = field(default_factory=dict)
    timezone: str = "UTC"
    asks: bool = False
    """Whether there is somebody to ask, and the run can wait for the answer (not in `dags test`)."""


@dataclass(frozen=True, slots=True)
class Job:
    """One step of one run. ``source`` opens connections to the app's database."""

    loop: Loop
    step: Step
    run: RunFacts
    settings: Settings
    source: Callable[[], psycopg.Connection[Any]]
    ledger: Ledger
    hasura: Callable[[], Hasura] | None = None
    """Opens the loop's Hasura, for conditions that ask it."""

    @property
    def timezone(self) -> str:
        """The zone of the condition's session: the trigger's, else the deployment's default."""
        return self.loop.zone_of(self.step) or self.run.timezone

    @property
    def names(self) -> Names:
        """What the loop and the step are called, and were."""
        return self.names_of(self.step)

    def names_of(self, step: Step) -> Names:
        """What the loop and a step of it are called, and were."""
        return Names((self.loop.id, *reversed(self.loop.was)), (step.id, *reversed(step.was)))

    @property
    def follows(self) -> bool:
        """Whether the step comes after another, so that its people are already in the loop."""
        return isinstance(self.step.trigger, AfterTrigger)

    @property
    def entry_rule(self) -> str:
        """What once is per in this step, in words that change whenever its entry keys do."""
        return "inherited" if self.follows else self.loop.entry.rule()

    @property
    def capped(self) -> bool:
        """Whether a frequency cap counts for this loop's mail."""
        return self.loop.frequency_cap is not None and self.loop.class_ != "transactional"

    def question(self) -> Question:
        """The step's condition, ready to be asked: people of a GraphQL condition are fetched now; changes of rows that
        it is about are seen, and not taken.

        Raises SkeneError if there is none, and QueryError for what its endpoint refuses.
        """
        asked = self.loop.condition_of(self.step)
        if isinstance(asked, GraphqlCondition):
            query = Question(QUERY, self.run.as_of, self.timezone, asked.timeout, self.loop.audiences)
            return replace(query, people=self._people(asked))
        if not isinstance(asked, QueryCondition):
            raise SkeneError(f"Step {self.step.id} has no SQL condition to evaluate.")
        found = changes_of(self.step)
        if found is not None and (wanted := self.changes(Mode.SHADOW, self.loop.expires_after)):
            found = replace(found, rows=partial(changes.seen, self.ledger, wanted))
        return Question(asked.query, self.run.as_of, self.timezone, asked.timeout, self.loop.audiences, changes=found)

    def fetch(self) -> int:
        """Bring what the app's database has noted by itself into the ledger; 0 without a `database` trigger.

        Raises QueryError and LedgerError.
        """
        if not isinstance(self.step.trigger, DatabaseTrigger):
            return 0
        with closing(Outbox(self.source, self.ledger.schema, self.loop.connections.source)) as outbox:
            return outbox.empty_into(self.ledger)

    def changes(self, mode: Mode, window: timedelta) -> changes.Wanted | None:
        """Which changes of rows a run of ``mode`` takes, none older than ``window``; None without such a trigger."""
        trigger = self.step.trigger
        if not isinstance(trigger, DatabaseTrigger):
            return None
        # What a shadow run sees is what a live run would.
        ceiling = lowered(Mode.LIVE, self.settings.max_mode) if mode is Mode.SHADOW else mode
        claims_as = Mode.REDIRECT if ceiling is Mode.REDIRECT else Mode.LIVE
        return changes.Wanted(
            self.names, qualified(trigger.table), trigger.event, self.loop.connections.source, window, claims_as
        )

    def _people(self, asked: GraphqlCondition) -> People:
        if self.hasura is None:
            raise SkeneError("This loop asks a Hasura, which cannot be reached from here.")
        with self.hasura() as hasura:
            return fetch(hasura, asked, self.run.as_of, self.loop.user.key)

    @property
    def in_app(self) -> bool:
        """Whether the step's messages appear in the app: they need no address, and leave through no channel."""
        return isinstance(self.step.action, InAppAction)

    @property
    def email(self) -> EmailAction:
        """What the step sends. Raises SkeneError if it is no email."""
        if not isinstance(self.step.action, EmailAction):
            raise SkeneError(f"Step {self.step.id} sends no email.")
        return self.step.action

    def recorded(self) -> Run:
        """The run as the ledger knows it. Raises SkeneError if `evaluate` never staged it."""
        run = runs.find(self.ledger, self.loop.id, self.step.id, self.run.run_id)
        if run is None or not run.staged:
            raise SkeneError("This run has staged no audience: clear the task `evaluate` and what follows it.")
        return run


def source_of(loop: Loop, settings: Settings) -> str:
    """The connection whose database asks the loop's SQL. A loop whose people come from a Hasura needs no database of
    the app: unless its file names one, what is asked about them is asked in the ledger's."""
    graphql = all(isinstance(step.condition, GraphqlCondition) for step in loop.steps)
    if graphql and loop.written(("connections", "source")) is None and settings.ledger_conn_id:
        return settings.ledger_conn_id
    return loop.connections.source
