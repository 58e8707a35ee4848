"""The alert of a run that failed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from skene_airflow.notifications.email import Alert, EmailNotifier, link, run_id_of

if TYPE_CHECKING:
    from airflow.sdk import Context


class RunFailedNotifier(EmailNotifier):
    """For a DAG's `on_failure_callback`."""

    def alerts(self, context: Context) -> list[Alert]:
        """One alert. Its words are ours: Airflow's reason for the failure is a word such as `task_failure`."""
        facts: Any = context
        run_id = run_id_of(context)
        reason = str(facts.get("reason") or "failed").replace("_", " ")
        return [
            Alert(
                f"The loop {self.loop_id} failed",
                f"The run {run_id} of the loop {self.loop_id} failed ({reason}). The log of its failed task says why."
                "\n\nMend that, then clear the task: nobody is mailed twice. Mail that is still queued is sent by the"
                f" next run or by skene_upkeep, until it expires.{link(self.dag_id, run_id)}",
            )
        ]
