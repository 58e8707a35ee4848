"""The task `report`: counts what happened, and fails if an upstream task failed or the run does not add up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from skene_airflow.errors import RunDoesNotAddUp
from skene_airflow.operators.base import LoopOperator, plain_errors

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow.sdk import Context


class ReportOperator(LoopOperator):
    """What happened. XCom gets counts; with nobody in the audience the task ends skipped."""

    @plain_errors
    def execute(self, context: Context) -> dict[str, Any]:
        """Write the run's counts, whatever became of the tasks before."""
        from skene_airflow.stages.report import report

        states = self.states_before(context)
        failed = failed_tasks(states)
        try:
            with self.job(context) as job:
                outcome = report(job, failed)
        except RunDoesNotAddUp as error:
            # The tasks before have used up their own tries: nothing would change while this one waits.
            raise AirflowFailException(str(error)) if failed else error from None
        if outcome.nobody and states.get(f"{self.group}send") == "skipped":
            message = "nobody was in the audience"
            raise AirflowSkipException(message)
        return dict(outcome.counts())

    @property
    def group(self) -> str:
        """The prefix of the step's task ids: empty, or the task group and a dot."""
        return self.task_id.removesuffix("report")

    def states_before(self, context: Context) -> dict[str, str]:
        """The states of the tasks before this one in its run; each shard by itself (`send_2`)."""
        ti: Any = context["ti"]
        states = ti.get_task_states(dag_id=self.dag_id, run_ids=[ti.run_id]).get(ti.run_id, {})
        before = self.get_flat_relative_ids(upstream=True)
        return {
            name: str(getattr(state, "value", state))
            for name, state in states.items()
            if name in before or name.rpartition("_")[0] in before
        }


def failed_tasks(states: Mapping[str, str]) -> list[str]:
    """The tasks that failed by themselves, sorted; those they took along only if nobody else is to be named."""
    # `removed` is none: the shards of a cleared run, when there is nothing left for its second time round.
    failed = [name for name, state in states.items() if state == "failed"]
    return sorted(failed or [name for name, state in states.items() if state == "upstream_failed"])
