"""One loop as its DAGs. Nothing here touches a database, the network, or an Airflow Connection or Variable."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from airflow.sdk import DAG, Asset, CronTriggerTimetable, Param, TaskGroup

from skene_airflow.dag_factory.docs import describe, when
from skene_airflow.dag_factory.knobs import (
    dag_arguments,
    no_words_to_programmers,
    refuse_unknown_executor,
    report_callbacks,
    task_defaults,
    waiting_alerts,
)
from skene_airflow.hooks.settings import default_timezone
from skene_airflow.loop.journeys import dags_of
from skene_airflow.loop.schema import AssetTrigger, DatabaseTrigger, ScheduleTrigger
from skene_airflow.loop.shared import SharedFiles
from skene_airflow.operators.evaluate import EvaluateOperator
from skene_airflow.operators.loop_ref import LoopRef
from skene_airflow.operators.ready import WaitingEvaluateOperator
from skene_airflow.operators.report import ReportOperator
from skene_airflow.operators.segment import SegmentOperator
from skene_airflow.operators.send import SendOperator

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from skene_airflow.loop.schema import Loop, Step
    from skene_airflow.operators.approve import ApproveOperator

GRACE = timedelta(minutes=2)
"""How much longer than the condition's own timeout the task may live: staging ends first, and in its own words."""

RUN_TYPES_WITHOUT_BACKFILL: Any = (
    "manual",
    "scheduled",
    "operator_triggered",
    "asset_triggered",
    "asset_materialization",
)


@dataclass(frozen=True, slots=True)
class Extras:
    """What only Python can say of a DAG: objects that no YAML names."""

    default_args: Mapping[str, Any] = field(default_factory=dict)
    on_failure_callback: Callable[..., Any] | None = None
    on_success_callback: Callable[..., Any] | None = None


def build_dag(loop: Loop, extras: Extras | None = None, shared: SharedFiles | None = None) -> DAG:
    """The DAG with the loop's own id. Raises as build_dags does."""
    return build_dags(loop, extras, shared)[0]


def build_dags(loop: Loop, extras: Extras | None = None, shared: SharedFiles | None = None) -> list[DAG]:
    """The loop's DAG, and the one of the steps that it comes round too seldom for, if there are any.

    They are checked as Airflow will check them; ``shared`` saves reading shared files again and again. Raises
    LoopError for what this Airflow does not have, and Airflow's own errors (such as AirflowTimetableInvalid).
    """
    extras = extras or Extras()
    refuse_unknown_executor(loop)
    version = loop_version(loop, shared or SharedFiles(loop.root))
    return [_build(dag_id, steps, loop, extras, version) for dag_id, steps in dags_of(loop).items()]


def _build(dag_id: str, steps: Sequence[Step], loop: Loop, extras: Extras, version: str) -> DAG:
    with no_words_to_programmers(loop):
        dag = DAG(
            dag_id=dag_id,
            description=loop.opinion,
            doc_md=describe(loop, version, steps),
            schedule=schedule(loop) if dag_id == loop.id else CronTriggerTimetable("0 * * * *", timezone="UTC"),
            catchup=False,
            max_active_runs=1,
            tags=sorted({"skene", loop.type, *loop.tags}),
            default_args=task_defaults(loop, extras),
            params={"mode": mode_param()},
            allowed_run_types=RUN_TYPES_WITHOUT_BACKFILL if loop.backfill == "forbid" else None,
            on_success_callback=extras.on_success_callback,
            **dag_arguments(loop, steps[0], extras),
        )
    for step in steps:
        # No step waits for another, so that none skips or fails another.
        group = TaskGroup(step.id, dag=dag, tooltip=when(step)) if step is not loop.steps[0] else None
        add_tasks(dag, LoopRef(loop, step, version), extras, group)
    dag.validate()  # type: ignore[no-untyped-call] # Airflow left it without types
    dag.check_cycle()
    return dag


def loop_version(loop: Loop, shared: SharedFiles) -> str:
    """Twelve hexadecimal digits that change with any edit of the YAML, its inherited defaults or a shared file."""
    folder = (loop.root.parent / loop.file).parent
    parts = [loop.version, *map("=".join, shared.drawn_on(loop.text, folder).items())]
    return sha256("\n".join(parts).encode()).hexdigest()[:12]


def add_tasks(dag: DAG, ref: LoopRef, extras: Extras, group: TaskGroup | None = None) -> None:
    """Put the tasks of one step into the DAG: evaluate → segment → send, once for each shard → report."""
    of_all: dict[str, Any] = {"dag": dag, "task_group": group, "loop": ref}
    limit, ready = execution_timeout(ref), ref.step.ready
    at_first: dict[str, Any] = {"task_id": "evaluate", "execution_timeout": limit, **of_all}
    evaluate = WaitingEvaluateOperator(ready=ready, **at_first) if ready else EvaluateOperator(**at_first)
    segment = SegmentOperator(task_id="segment", **of_all)
    may_ask = ref.loop.guard is not None and ref.loop.guard.approve_above is not None
    audience = approve_task(ref, of_all) if may_ask else segment
    send = SendOperator.partial(task_id="send", **of_all).expand(shard=audience.output)
    callbacks = report_callbacks(ref.loop, ref.step, extras)
    report = ReportOperator(task_id="report", trigger_rule="all_done", **of_all, **callbacks)
    evaluate >> segment
    if audience is not segment:
        segment >> audience
    audience >> send >> report


def approve_task(ref: LoopRef, of_all: Mapping[str, Any]) -> ApproveOperator:
    """The task that asks, with one more try than none: Airflow 3.3.2 fails a try that is answered at once."""
    # Only here: Airflow's own operator is slow to import, and few loops ask.
    from skene_airflow.operators.approve import ApproveOperator

    tries = max(1, ref.loop.recovery.retries)
    alerts = waiting_alerts(ref.loop, ref.step)
    return ApproveOperator(task_id="approve", retries=tries, notifiers=alerts, **of_all)


def schedule(loop: Loop) -> CronTriggerTimetable | list[Asset] | None:
    """When Airflow starts the loop: its first step's trigger."""
    trigger = loop.steps[0].trigger
    if isinstance(trigger, ScheduleTrigger) and trigger.timezone == "user":
        return CronTriggerTimetable("0 * * * *", timezone="UTC")  # each run mails those whose local time has come
    if isinstance(trigger, ScheduleTrigger):
        return CronTriggerTimetable(trigger.cron, timezone=trigger.timezone or default_timezone())
    if isinstance(trigger, AssetTrigger):
        return [Asset(name) for name in trigger.asset]
    if isinstance(trigger, DatabaseTrigger):
        from skene_airflow.dag_factory.changes import changes_asset  # other loops need no watcher

        return [changes_asset(loop)]
    return None


def execution_timeout(ref: LoopRef) -> timedelta | None:
    """A little above the condition's own timeout; Postgres keeps that one, or the query would outlive its task."""
    condition = ref.loop.condition_of(ref.step)
    return condition.timeout + GRACE if condition else None


def mode_param() -> Param:
    """The choice in Airflow's trigger form."""
    return Param(
        "auto",
        type="string",
        enum=["auto", "shadow", "live"],
        title="Mode",
        description="auto: scheduled runs do what the loop says, runs by hand are shadow runs; "
        "shadow: decide and record, send nothing; live: send.",
    )
