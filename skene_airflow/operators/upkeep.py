"""The one task of `skene_upkeep`: what no run came back for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowException

from skene_airflow.hooks.connections import open_channel
from skene_airflow.operators.base import jobs, plain_errors

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow.sdk import Context

    from skene_airflow.operators.loop_ref import LoopRef


class UpkeepOperator(BaseOperator):
    """Leftovers, marks, expiry and retention over all loops whose file loads. XCom gets counts."""

    template_fields: Sequence[str] = ()
    ui_color = "#f5f5f4"

    def __init__(self, *, loops: Sequence[LoopRef], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.loops = tuple(loops)

    @plain_errors
    def execute(self, context: Context) -> dict[str, Any]:
        """Do what is left; a loop that fails fails the task when all others are done."""
        from skene_airflow.stages.upkeep import upkeep

        with jobs(context, self.loops) as (settings, ledger, made):
            kept = upkeep(ledger, settings, made, lambda job: open_channel(job.loop.email_connection(job.step)))
        if kept.failed:
            raise AirflowException("; ".join(f"{name}: {words}" for name, words in sorted(kept.failed.items())))
        return dict(kept.counts())
