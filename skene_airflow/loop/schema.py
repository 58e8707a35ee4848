"""The whole language: what a loop file may say, and the ``Loop`` that the rest of the package reads."""

from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import Field, PrivateAttr

from skene_airflow.loop.actions import Action, ActionPart, EmailAction, InAppAction, Variant
from skene_airflow.loop.conditions import Condition, GraphqlCondition, QueryCondition, Ready, Segments
from skene_airflow.loop.fields import SOME, Column, Duration, Name, Percentage, Rate, RateValue, Sql, Text
from skene_airflow.loop.model import Model
from skene_airflow.loop.nodes import Loc, Node
from skene_airflow.loop.paths import parse_path
from skene_airflow.loop.rules import (
    AirflowKnobs,
    Alert,
    Connections,
    Entry,
    EntryRule,
    Goal,
    Guard,
    QuietHours,
    Recovery,
    UserColumns,
)
from skene_airflow.loop.triggers import (
    AfterTrigger,
    AssetTrigger,
    DatabaseTrigger,
    ManualTrigger,
    ScheduleTrigger,
    Trigger,
)
from skene_airflow.nouns import Fault

__all__ = [
    "AfterTrigger",
    "AssetTrigger",
    "Connections",
    "DatabaseTrigger",
    "EmailAction",
    "Entry",
    "GraphqlCondition",
    "InAppAction",
    "Loop",
    "LoopFile",
    "ManualTrigger",
    "QueryCondition",
    "RateValue",
    "Recovery",
    "ScheduleTrigger",
    "Step",
    "UserColumns",
    "Variant",
]


_EVERYBODY: Final = "SELECT * FROM {table}"
_CHANGED: Final = "SELECT u.* FROM {table} u WHERE u.{key} IN (SELECT e.{key} FROM event e)"


class Step(Model):
    """One ordered unit of a loop: when, who, what."""

    id: Name = Field(default="main", description="The step's name; a lone step is main. Never rename one without was.")
    trigger: Trigger = Field(description="What makes the step run.")
    ready: Ready | None = Field(default=None, description="Waits until a query answers true.")
    condition: Condition | None = Field(default=None, description="Who: a SQL query, or a map with a type.")
    segments: Segments | None = Field(default=None, description="Named rules over the people; the first match wins.")
    action: Action = Field(description="What each person gets.")
    on_sent: Sql | None = Field(default=None, description="One UPDATE joined with relation sent.")
    was: tuple[Name, ...] = Field(default=(), description="Earlier names of the step.")


class LoopFile(Model):
    """One YAML file: one loop."""

    type: Text = Field(description="A label: tags the DAG and groups reports.", examples=["retention"])
    opinion: Text = Field(description="One sentence of intent; becomes the DAG's docs.")
    owner: Text | None = Field(default=None, description="Who answers for the loop.")
    tags: tuple[Text, ...] = Field(default=(), description="More tags of the DAG.")
    topic: Name = Field(default="marketing", description="What a person unsubscribes from.")
    class_: Literal["marketing", "transactional"] = Field(
        default="marketing", alias="class", description="transactional skips caps, topics, unsubscribes and consent."
    )
    mode: Literal["live", "shadow"] = Field(default="live", description="shadow: decide and record, send nothing.")
    user: UserColumns = Field(default_factory=UserColumns, description="Which relation and columns mean what.")
    connections: Connections = Field(default_factory=Connections, description="Airflow connection ids.")
    action: ActionPart | None = Field(default=None, description="Inherited by the action of every step.")
    steps: Annotated[tuple[Step, ...], SOME] = Field(description="The steps, in order.")
    entry: EntryRule = Field(default_factory=Entry, description="once, each_run, or a map: what once is per.")
    exit: Sql | None = Field(default=None, description="Who has left: one SELECT of keys, or goal.")
    consent: Column | None = Field(default=None, description="A boolean column of the query.")
    sample: Percentage | None = Field(default=None, description="The share of people who take part at all.")
    holdout: Percentage | None = Field(default=None, description="The share that never gets a mail, to measure lift.")
    frequency_cap: Rate | None = Field(default=None, description="The most mails per person and window.")
    quiet_hours: QuietHours | None = Field(default=None, description="Local hours without mail.")
    expires_after: Duration = Field(
        default=timedelta(hours=24), description="Nothing goes this long after the time the run is for."
    )
    guard: Guard | None = Field(default=None, description="Brakes on an audience that is too large.")
    goal: Goal | None = Field(default=None, description="What the loop is for.")
    backfill: Literal["shadow", "forbid"] = Field(default="shadow", description="What a backfill does.")
    recovery: Recovery = Field(default_factory=Recovery, description="How failed tasks are tried again.")
    alerts: tuple[Alert, ...] = Field(default=(), description="Who hears of trouble.")
    airflow: AirflowKnobs | None = Field(default=None, description="Airflow's own settings.")
    was: tuple[Name, ...] = Field(default=(), description="Earlier names of the loop.")


class Loop(LoopFile):
    """A loop that was read and found good.

    ``file`` is the file as shown to people, ``text`` its YAML, ``root`` the loops folder, ``version`` twelve
    hexadecimal digits over the YAML, the defaults that were applied and the named audiences that are read.
    ``audiences`` has the name and SELECT of each of those, behind what it reads itself. Steps' actions are merged.
    """

    id: str
    file: str
    text: str = Field(repr=False)
    root: Path
    version: str
    audiences: tuple[tuple[str, str], ...] = Field(default=(), repr=False)
    _tree: Node = PrivateAttr()

    @classmethod
    def build(cls, spec: LoopFile, tree: Node, **identity: Any) -> "Loop":
        """A loop from its validated file, the tree it was read from, and what only its folder can tell."""
        loop = cls.model_construct(spec.model_fields_set | set(identity), **spec.__dict__, **identity)
        loop.__pydantic_private__ = {"_tree": tree}
        return loop

    def position(self, path: str) -> tuple[int, int]:
        """Line and column of the value at ``path`` (``steps[0].action``), or of its nearest known parent."""
        node, _ = self._tree.nearest(parse_path(path))
        return node.line, node.column

    def fault(self, path: str, code: str, message: str, suggestion: str = "") -> Fault:
        """A fault at the value of ``path``, in the file that wrote it."""
        node, _ = self._tree.nearest(parse_path(path))
        return Fault(node.source.file, node.line, node.column, path, code, message, suggestion)

    def origin(self, loc: Loc) -> tuple[str, int, int] | None:
        """File, line and column of the value at ``loc``; None if it is a default of the language."""
        node = self._tree.get(*loc)
        return (node.source.file, node.line, node.column) if node is not None else None

    def place(self, path: str, offset: int) -> tuple[str, int, int]:
        """File, line and column of a character of the text at ``path``; its beginning where that cannot be told."""
        node, _ = self._tree.nearest(parse_path(path))
        return (node.source.file, *node.place(offset))

    def written(self, loc: Loc) -> Node | None:
        """The value at ``loc`` as a file wrote it; None if it is a default of the language."""
        return self._tree.get(*loc)

    def query_path(self, step: Step) -> str:
        """The path of a step's query, as its file spells it."""
        index = self.steps.index(step)
        is_short = self.written(("steps", index, "condition", "query")) is None
        return f"steps[{index}].condition" if is_short else f"steps[{index}].condition.query"

    def condition_of(self, step: Step) -> Condition | None:
        """Who a step asks for: its condition; without one everybody for an `after` step, and whoever changed for a
        `database` step; None: nobody it can name.

        Of whom an `after` step asks for, it mails those who are due.
        """
        if step.condition is not None or not isinstance(step.trigger, AfterTrigger | DatabaseTrigger):
            return step.condition
        table = ".".join(f'"{part}"' for part in self.user.table.lower().split("."))
        if isinstance(step.trigger, DatabaseTrigger):
            key = '"' + self.user.key.replace('"', '""') + '"'
            return QueryCondition(type="query", query=_CHANGED.replace("{table}", table).replace("{key}", key))
        return QueryCondition(type="query", query=_EVERYBODY.replace("{table}", table))

    def parent_of(self, step: Step) -> Step | None:
        """The step that an `after` step follows; None for the first step."""
        if not isinstance(step.trigger, AfterTrigger):
            return None
        name = step.trigger.step
        return next((other for other in self.steps if other.id == name), self.steps[0])

    def entry_columns(self, step: Step) -> tuple[str, ...]:
        """The columns of a step's query that once is per: none where it enters people as the step before did."""
        return () if isinstance(step.trigger, AfterTrigger) else self.entry.per or ()

    def zone_of(self, step: Step) -> str | None:
        """The time zone that the loop names for a step: its trigger's, for an `after` step the first step's.

        None where it names none, or `user`: then the deployment's own counts.
        """
        root = self.steps[0] if isinstance(step.trigger, AfterTrigger) else step
        zone = root.trigger.timezone if isinstance(root.trigger, ScheduleTrigger) else None
        return None if zone == "user" else zone

    def email_connection(self, step: Step) -> str:
        """The Airflow connection that sends this step's mail."""
        if self.connections.email:
            return self.connections.email
        provider = step.action.provider if isinstance(step.action, EmailAction) else "resend"
        return f"{provider}_default"
