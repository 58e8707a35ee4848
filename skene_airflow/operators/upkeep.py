"""The one task of `skene_upkeep`: what no run came back for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowException

from skene_airflow.operators.base import jobs, plain_errors, way
from skene_airflow.operators.metrics import tell_sent
from skene_airflow.operators.supervisor import Supervisor

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractContextManager

    from airflow.sdk import Context

    from skene_airflow.channels import Channel
    from skene_airflow.operators.loop_ref import FolderRef
    from skene_airflow.stages.job import Job


class UpkeepOperator(BaseOperator):
    """Leftovers, marks, expiry and retention over all loops whose file loads. XCom gets counts.

    The files are read when the task runs: what is broken by then is not sent.
    """

    template_fields: Sequence[str] = ()
    ui_color = "#f5f5f4"

    def __init__(self, *, loops: FolderRef, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.loops = loops

    @plain_errors
    def execute(self, context: Context) -> dict[str, Any]:
        """Do what is left; a loop that fails fails the task when all others are done."""
        from skene_airflow.stages.upkeep import upkeep

        refs = self.loops.loops()
        with jobs(context, refs) as (settings, ledger, made):
            by_step = {(ref.loop.id, ref.step.id): ref for ref in refs}

            def channel(job: Job) -> AbstractContextManager[Channel | None]:
                by_step[job.loop.id, job.step.id].must_load()  # the loops before it may have taken long
                return way(job.loop, job.step)

            kept = upkeep(ledger, settings, made, channel, Supervisor().alive, tell_sent)
        if kept.failed:
            raise AirflowException("; ".join(f"{name}: {words}" for name, words in sorted(kept.failed.items())))
        return dict(kept.counts())
