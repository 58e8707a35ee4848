"""The rules of a loop: once per what, when not, how many at most, what counts as success, what if it fails."""

import json
from datetime import timedelta
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BeforeValidator, Field
from pydantic.json_schema import SkipJsonSchema

from skene_airflow.loop import codes
from skene_airflow.loop.fields import (
    SOME,
    Clock,
    Column,
    Connection,
    Duration,
    Factor,
    Mailbox,
    Percentage,
    Sql,
    Table,
    shown,
)
from skene_airflow.loop.model import Model, refuse


class UserColumns(Model):
    """Which relation and columns mean what about a person."""

    table: Table = Field(default="users", description="The table or view of people.")
    key: Column = Field(default="id", description="The column that identifies a person for ever.")
    email: Column = Field(default="email", description="The column of the address.")
    timezone: Column = Field(default="timezone", description="The column of the time zone; may be missing.")
    locale: Column = Field(default="locale", description="The column of the language; may be missing.")


class Connections(Model):
    """Airflow connection ids."""

    source: Connection = Field(default="skene_source", description="The database that the conditions ask.")
    email: Connection | None = Field(default=None, description="The mail channel; absent: <provider>_default.")
    hasura: Connection = Field(default="hasura_default", description="The Hasura that graphql conditions ask.")


class Entry(Model):
    """What "once" is per. Without any key: a person enters a step once, for ever."""

    per: Annotated[tuple[Column, ...], SOME] | None = Field(
        default=None, description="Once for each value of these columns."
    )
    every: Duration | None = Field(default=None, description="Again, at the earliest after this time.")
    existing: Literal["include", "skip"] = Field(
        default="include", description="Whether people who qualify at the first live run get the mail."
    )
    each_run: SkipJsonSchema[bool] = Field(default=False, exclude=True, description="True for `entry: each_run`.")

    def rule(self) -> str:
        """What once is per, in one spelling: it changes whenever entry keys do, or the time between two entries."""
        if self.each_run:
            return "each_run"
        per = f"per {json.dumps(sorted(self.per))}" if self.per else ""
        every = f"every {int(self.every.total_seconds())}s" if self.every else ""
        return " ".join(part for part in (per, every) if part) or "once"


def _entry(value: Any) -> Any:
    if value == "once":
        return {}
    if value == "each_run":
        return {"each_run": True}
    hint = "write once, each_run, or a map of per, every, existing"
    if isinstance(value, dict):
        if "each_run" in value:
            raise refuse(codes.UNKNOWN_KEY, "unknown key 'each_run'", "write `entry: each_run`")
        return value
    if isinstance(value, Entry):
        return value
    raise refuse(codes.UNKNOWN_WORD, f"{shown(value)} is not an entry rule", hint)


EntryRule: TypeAlias = Annotated[
    Entry, BeforeValidator(_entry, json_schema_input_type=Literal["once", "each_run"] | Entry)
]


class QuietHours(Model):
    """Local hours in which nobody gets a mail."""

    from_: Clock = Field(alias="from", description="When quiet begins.")
    to: Clock = Field(description="When quiet ends.")


class Guard(Model):
    """Brakes on an audience that is larger than anybody means."""

    max: Annotated[int, Field(ge=1)] | None = Field(default=None, description="The most people in one run.")
    max_share: Percentage | None = Field(default=None, description="The largest share of user.table.")
    max_growth: Factor | None = Field(default=None, description="The largest growth over earlier runs.")
    approve_above: Annotated[int, Field(ge=0)] | None = Field(
        default=None, description="Above this number somebody has to approve the run."
    )


class Goal(Model):
    """What the loop is for, as a query."""

    query: Sql = Field(description="One SELECT with the person's key and the time `at`.")
    within: Duration = Field(
        description="How long after the mail was sent the goal counts; for people held out, after their claim."
    )


class Recovery(Model):
    """How a failed task is tried again."""

    retries: Annotated[int, Field(ge=0, le=100)] = Field(default=3, description="How often a task is tried again.")
    backoff: Literal["exponential", "fixed"] = Field(
        default="exponential", description="Whether the pause doubles or stays."
    )
    retry_delay: Duration = Field(default=timedelta(seconds=30), description="The first pause.")
    max_retry_delay: Duration = Field(default=timedelta(minutes=10), description="The longest pause.")


class Alert(Model):
    """Who hears of failed runs and brakes that held."""

    email: Mailbox = Field(description="An address.")


class AirflowKnobs(Model):
    """Airflow's own settings for the loop's DAG and tasks, by Airflow's names."""

    pool: str | None = Field(default=None, min_length=1, description="The pool of the tasks.")
    priority_weight: int | None = Field(default=None, description="The priority of the tasks.")
    queue: str | None = Field(default=None, min_length=1, description="The queue of the tasks.")
    executor: str | None = Field(default=None, min_length=1, description="The executor of the tasks.")
    dagrun_timeout: Duration | None = Field(default=None, description="The longest a run may take.")
    max_consecutive_failed_dag_runs: Annotated[int, Field(ge=0)] | None = Field(
        default=None, description="Airflow pauses the DAG after so many failed runs."
    )
    access_control: dict[str, Any] | None = Field(default=None, description="Airflow's access control of the DAG.")
