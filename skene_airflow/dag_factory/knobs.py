"""What a loop says of its DAG in Airflow's own words: the `airflow:` block, `owner`, `recovery` and `alerts`."""

from __future__ import annotations

import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from skene_airflow.errors import LoopError
from skene_airflow.loop import codes
from skene_airflow.loop.journeys import dag_id_of_step
from skene_airflow.loop.schema import EmailAction
from skene_airflow.operators.retry import LoopRetryPolicy

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from skene_airflow.dag_factory.build import Extras
    from skene_airflow.loop.rules import Recovery
    from skene_airflow.loop.schema import Loop, Step

_OF_TASKS = ("pool", "priority_weight", "queue", "executor")
_OF_DAGS = ("dagrun_timeout", "max_consecutive_failed_dag_runs", "access_control")
_ENDS = ("on_success_callback", "on_failure_callback", "on_skipped_callback")


def task_defaults(loop: Loop, extras: Extras) -> dict[str, Any]:
    """The default arguments of the loop's tasks; what the loop itself says wins. Raises LoopError."""
    owner = {"owner": loop.owner} if loop.owner else {}
    return {**extras.default_args, **owner, **retries(loop.recovery), **_said(loop, _OF_TASKS)}


def dag_arguments(loop: Loop, first: Step, extras: Extras) -> dict[str, Any]:
    """What the loop says of a whole DAG whose ``first`` step this is, and who hears of a run that failed."""
    alerts = []
    if loop.alerts:
        from skene_airflow.notifications.run_failed import RunFailedNotifier

        alerts = [RunFailedNotifier(**_channel_of(loop, first))]
    said = _said(loop, _OF_DAGS)
    if "access_control" in said:
        said["access_control"] = _roles(loop)
    return {**said, "on_failure_callback": together(extras.on_failure_callback, alerts)}


def report_callbacks(loop: Loop, step: Step, extras: Extras) -> dict[str, Any]:
    """Who hears of a run that ended with a brake held, deliveries in doubt, or people it was too late for."""
    if not loop.alerts:
        return {}
    from skene_airflow.notifications.run_in_trouble import RunInTroubleNotifier

    alert = RunInTroubleNotifier(step_id=step.id, **_channel_of(loop, step))
    return {end: together(extras.default_args.get(end), [alert]) for end in _ENDS}


def waiting_alerts(loop: Loop, step: Step) -> list[Any]:
    """Who hears that a run waits for an approval."""
    if not loop.alerts:
        return []
    from skene_airflow.notifications.approval_waiting import ApprovalWaitingNotifier

    return [ApprovalWaitingNotifier(step_id=step.id, **_channel_of(loop, step))]


def together(given: Any, alerts: list[Any]) -> Any:
    """The callbacks that Python gave, and then ours; just as given if there are none of ours."""
    if not alerts:
        return given
    before = given if isinstance(given, (list, tuple)) else [given] if given is not None else []
    return [*before, *alerts]


def retries(recovery: Recovery) -> dict[str, Any]:
    """Airflow's words for `recovery`."""
    return {
        "retries": recovery.retries,
        "retry_delay": recovery.retry_delay,
        "retry_exponential_backoff": 2.0 if recovery.backoff == "exponential" else 0,
        "max_retry_delay": recovery.max_retry_delay,
        "retry_policy": LoopRetryPolicy(
            recovery.retries,
            recovery.retry_delay.total_seconds(),
            recovery.max_retry_delay.total_seconds(),
            recovery.backoff == "exponential",
        ),
    }


def refuse_unknown_executor(loop: Loop) -> None:
    """Airflow would refuse it only after the DAG file, and with that one every DAG of the file. Raises LoopError."""
    name = loop.airflow.executor if loop.airflow else None
    if name is None:
        return
    from airflow.exceptions import UnknownExecutorException
    from airflow.executors.executor_loader import ExecutorLoader

    try:
        ExecutorLoader.lookup_executor_name_by_str(name, validate_teams=False)
    except UnknownExecutorException:
        what = f"this Airflow has no executor '{name[:60]}'"
        hint = "write one of those that [core] executor names, or leave it out"
        raise LoopError([loop.fault("airflow.executor", codes.REFUSED_BY_AIRFLOW, what, hint)], loop.file) from None


@contextmanager
def no_words_to_programmers(loop: Loop) -> Iterator[None]:
    """Airflow warns whoever writes `access_control` in Python of changes to come; a YAML file has no part in them."""
    if loop.airflow is None or loop.airflow.access_control is None:
        yield
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _roles(loop: Loop) -> dict[str, dict[str, set[str]]]:
    """`access_control` as Airflow takes it. Raises LoopError for what would fail in Airflow's database only."""
    roles: dict[str, dict[str, set[str]]] = {}
    for role, said in ((loop.airflow and loop.airflow.access_control) or {}).items():
        by_resource = said if isinstance(said, dict) else {"DAGs": said}
        for resource, actions in by_resource.items():
            if not isinstance(actions, (list, tuple)) or not all(isinstance(action, str) for action in actions):
                what = f"the role '{role[:60]}' is not given a list of actions"
                hint = "write {Growth: [can_read, can_edit]}, or {Growth: {DAG Runs: [can_create]}}"
                raise LoopError([loop.fault("airflow.access_control", codes.REFUSED_BY_AIRFLOW, what, hint)], loop.file)
            roles.setdefault(role, {})[str(resource)] = set(actions)
    return roles


def _said(loop: Loop, names: tuple[str, ...]) -> dict[str, Any]:
    values: Mapping[str, Any] = {name: getattr(loop.airflow, name) for name in names} if loop.airflow else {}
    return {name: value for name, value in values.items() if value is not None}


def _channel_of(loop: Loop, step: Step) -> dict[str, Any]:
    return {
        "loop_id": loop.id,
        "dag_id": dag_id_of_step(loop, step),
        "to": tuple(alert.email for alert in loop.alerts),
        "conn_id": loop.email_connection(step),
        "sender": step.action.from_ if isinstance(step.action, EmailAction) else None,
    }
