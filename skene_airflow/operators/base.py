"""What the four operators share: a Job made of Airflow's facts, and errors that Airflow understands.

The stages are imported when a task runs: every parse of a DAG file imports the operators, and pays for them.
"""

from __future__ import annotations

import functools
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, TypeVar

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowException, AirflowFailException

from skene_airflow.errors import FINAL, SkeneError, unexpected
from skene_airflow.hooks.connections import open_channel
from skene_airflow.hooks.settings import DEFAULT_LEDGER, airflow_settings, default_timezone
from skene_airflow.nouns import Mode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager
    from datetime import datetime

    from airflow.sdk import Context

    from skene_airflow.channels import Channel
    from skene_airflow.ledger import Ledger
    from skene_airflow.ledger.runs import Run
    from skene_airflow.loop.schema import Loop, Step
    from skene_airflow.operators.loop_ref import LoopRef
    from skene_airflow.settings import Settings
    from skene_airflow.stages.job import Job, RunFacts

Result = TypeVar("Result")


class LoopOperator(BaseOperator):
    """A task of one step of a loop. Nothing of it is templated, so nothing of a person is ever rendered."""

    template_fields: Sequence[str] = ()
    ui_color = "#eef4ff"

    def __init__(self, *, loop: LoopRef, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.loop = loop

    @contextmanager
    def job(self, context: Context) -> Iterator[Job]:
        """What the stages need to know; connections are opened when they are needed. Raises SettingsError."""
        with jobs(context, [self.loop]) as (_, _, made):
            yield made[0]

    def channel(self) -> AbstractContextManager[Channel | None]:
        """How the step's mail leaves; None for messages in the app. Nothing is opened yet. Raises SettingsError."""
        return way(self.loop.loop, self.loop.step)

    def channel_of(self, run: Run) -> AbstractContextManager[Channel | None]:
        """The same for one run; none for a shadow run, which must also decide where no email connection exists yet."""
        return nullcontext() if run.mode is Mode.SHADOW else self.channel()


def way(loop: Loop, step: Step) -> AbstractContextManager[Channel | None]:
    """The channel of a step's mail, not yet opened; None for messages in the app. Raises SettingsError."""
    return nullcontext() if step.action.type == "in_app" else open_channel(loop.email_connection(step))


@contextmanager
def jobs(context: Context, loops: Sequence[LoopRef]) -> Iterator[tuple[Settings, Ledger, list[Job]]]:
    """The deployment's settings, its ledger, and a job for each loop's step; nothing is opened yet."""
    from skene_airflow.hooks.hasura import HasuraHook
    from skene_airflow.hooks.postgres import postgres
    from skene_airflow.ledger import Ledger
    from skene_airflow.stages.job import Job, source_of

    settings, facts = airflow_settings(), run_facts(context)
    ledger = Ledger(postgres(settings.ledger_conn_id or DEFAULT_LEDGER), settings.schema)
    try:
        yield (
            settings,
            ledger,
            [
                Job(
                    ref.loop,
                    ref.step,
                    facts,
                    settings,
                    postgres(source_of(ref.loop, settings)),
                    ledger,
                    HasuraHook(ref.loop.connections.hasura).get_conn,
                )
                for ref in loops
            ],
        )
    finally:
        ledger.close()


def run_facts(context: Context) -> RunFacts:
    """Airflow's facts about the run. A run that was started without a logical date counts from ``run_after``."""
    from skene_airflow.stages.job import RunFacts

    run: Any = context["dag_run"]
    as_of: datetime = run.logical_date or run.run_after
    return RunFacts(
        run_id=run.run_id,
        run_type=str(getattr(run.run_type, "value", run.run_type)),
        as_of=as_of,
        conf=run.conf or {},
        timezone=default_timezone(),
        # There nobody can answer, and the wait would never end.
        asks=str(getattr(run, "triggering_user_name", None)) != "dag_test",
    )


def plain_errors(execute: Callable[[Any, Context], Result]) -> Callable[[Any, Context], Result]:
    """Let a task fail in words that hold nothing of the data, and at once where another try is of no use."""

    @functools.wraps(execute)
    def wrapper(self: Any, context: Context) -> Result:
        import psycopg

        try:
            return execute(self, context)
        except FINAL as error:
            raise AirflowFailException(str(error)) from None
        except (SkeneError, AirflowException):
            raise
        except psycopg.Error as error:
            words = database_words(error)
        except Exception as error:  # noqa: BLE001 - a mistake of ours: its words may quote a person's data
            words = unexpected(error)
        # Raised out here, so that the first error is not even its context: a driver's message and DETAIL quote rows.
        raise AirflowException(words)

    return wrapper


def database_words(error: Exception) -> str:
    """The one line about a database error that may reach a log: our own words and the SQLSTATE."""
    state = getattr(error, "sqlstate", None) or "none"
    return f"the database refused a statement: SQLSTATE {state} ({type(error).__name__})"
