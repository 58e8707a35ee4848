"""The alerts of a live run that came to its end with people who were not mailed as meant."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from skene_airflow.hooks.postgres import postgres
from skene_airflow.hooks.settings import DEFAULT_LEDGER, airflow_settings
from skene_airflow.ledger import Ledger, runs
from skene_airflow.notifications.email import Alert, EmailNotifier, link, run_id_of
from skene_airflow.nouns import Mode, Reason, Status, Verdict
from skene_airflow.stages.brakes import told

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from airflow.sdk import Context

    from skene_airflow.ledger.runs import Run

_UNCERTAIN = (
    "The provider may or may not have taken them, and cannot be asked. Nothing is sent twice. Settle them with"
    " `skene-airflow deliveries settle`."
)
_EXPIRED = (
    "The run came later than `expires_after` allows, so they were not mailed. A later run may ask again; a run with"
    ' conf {"mode": "live", "expires_after": "30d"} sends late.'
)


class RunInTroubleNotifier(EmailNotifier):
    """For the callbacks of a task `report`: a brake that held, deliveries in doubt, and people it came too late for."""

    def __init__(self, *, step_id: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.step_id = step_id

    def alerts(self, context: Context) -> list[Alert]:
        """What the ledger counts, whether `report` ended well or not."""
        settings, run_id = airflow_settings(), run_id_of(context)
        ledger = Ledger(postgres(settings.ledger_conn_id or DEFAULT_LEDGER), settings.schema)
        try:
            run = runs.find(ledger, self.loop_id, self.step_id, run_id)
            if run is None or run.mode is not Mode.LIVE:
                return []
            statuses = runs.statuses(ledger, run)
        finally:
            ledger.close()
        name = self.loop_id if self.step_id == "main" else f"{self.loop_id}.{self.step_id}"
        return [
            Alert(f"{name}: {what}", f"{what}, in the run {run_id}.\n\n{todo}{link(self.dag_id, run_id)}")
            for what, todo in troubles(run, statuses)
        ]


def troubles(run: Run, statuses: Mapping[str, int]) -> Iterator[tuple[str, str]]:
    """What is wrong and what to do about it."""
    skipped = (run.verdicts or {}).get(Verdict.SKIP, {})
    if held := skipped.get(Reason.HELD, 0):
        yield f"a brake held {held} people back", told(run.brakes) if run.brakes else ""
    if doubtful := statuses.get(Status.UNCERTAIN, 0):
        yield f"{doubtful} deliveries are uncertain", _UNCERTAIN
    if late := skipped.get(Reason.EXPIRED, 0) + statuses.get(Status.EXPIRED, 0):
        yield f"{late} people expired", _EXPIRED
