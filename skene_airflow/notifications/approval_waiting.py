"""The alert of a run that waits for somebody to approve it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk.configuration import conf

from skene_airflow.errors import SkeneError, unexpected
from skene_airflow.hooks.postgres import postgres
from skene_airflow.hooks.settings import DEFAULT_LEDGER, airflow_settings
from skene_airflow.ledger import Ledger, runs
from skene_airflow.notifications.email import Alert, EmailNotifier, run_id_of

if TYPE_CHECKING:
    from airflow.sdk import Context


class ApprovalWaitingNotifier(EmailNotifier):
    """For the task `approve`, which calls it once it has asked."""

    def __init__(self, *, step_id: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.step_id = step_id

    def notify(self, context: Context) -> None:
        """Send it. An alert that cannot be sent is told in the log: the question stands in the UI all the same."""
        try:
            super().notify(context)
        except Exception as error:  # noqa: BLE001 - whatever keeps the mail from going must not take the question back
            words = str(error) if isinstance(error, SkeneError) else unexpected(error)
            self.log.error("approve: nobody was told by mail: %s", words)

    def alerts(self, context: Context) -> list[Alert]:
        """One alert, if the run waits."""
        settings, run_id = airflow_settings(), run_id_of(context)
        ledger = Ledger(postgres(settings.ledger_conn_id or DEFAULT_LEDGER), settings.schema)
        try:
            run = runs.find(ledger, self.loop_id, self.step_id, run_id)
        finally:
            ledger.close()
        if run is None or run.decided or run.approval is None:
            return []
        people, until = run.approval["people"], f"{run.expires_at:%Y-%m-%d %H:%M %Z}"
        return [
            Alert(
                f"{self.loop_id}: {people} people wait for your approval",
                f"The run {run_id} of the loop {self.loop_id} would mail {people} people, and guard.approve_above lets"
                f" {run.approval['limit']} pass unasked.\n\nApprove or reject it before {until}; without an answer"
                f" nobody is mailed.{_where(context)}",
            )
        ]


def _where(context: Context) -> str:
    """Where the question is to be answered."""
    base, ti = str(conf.get("api", "base_url", fallback="") or "").rstrip("/"), context["ti"]
    path = f"/dags/{ti.dag_id}/runs/{ti.run_id}/tasks/{ti.task_id}/required_actions"
    return f"\n\n{base}{path}" if base else ""
