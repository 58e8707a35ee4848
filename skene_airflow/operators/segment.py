"""The task `segment`: judges every candidate and cuts the audience into shards."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.sdk.configuration import conf

from skene_airflow.operators.base import LoopOperator, plain_errors
from skene_airflow.operators.metrics import tell_decided

if TYPE_CHECKING:
    from airflow.sdk import Context


class SegmentOperator(LoopOperator):
    """May we, and what to whom? XCom gets the numbers of the shards to send; none, and `send` is skipped."""

    @plain_errors
    def execute(self, context: Context) -> list[int]:
        """Decide the audience of the run."""
        from skene_airflow.stages.segment import segment

        self.loop.must_load()
        with self.job(context) as job:
            run = job.recorded()
            with self.channel_of(run) as channel:
                segmented = segment(job, channel)
            if not (run.decided or segmented.waits):  # a retry or Clear finds what was decided and counted before
                tell_decided(job, segmented)
        context["ti"].xcom_push(key="counts", value=segmented.counts())
        segmented.refuse_held()
        return at_most(segmented.shards)


def at_most(shards: list[int]) -> list[int]:
    """As many shards as this Airflow maps a task over: fewer senders take what there is as well."""
    return shards[: conf.getint("core", "max_map_length", fallback=1024)]
