"""The task `send`: sends the batches of one shard; Airflow runs one of it for each shard."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from skene_airflow.operators.base import LoopOperator, plain_errors

if TYPE_CHECKING:
    from airflow.sdk import Context


class SendOperator(LoopOperator):
    """Leave. XCom gets counts."""

    def __init__(self, *, shard: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.shard = shard

    @plain_errors
    def execute(self, context: Context) -> dict[str, Any]:
        """Send what is open in this shard."""
        from skene_airflow.stages.send import send

        supervisor = os.getppid()
        with self.job(context) as job, self.channel() as channel:
            # A killed supervisor leaves this process behind, while Airflow starts another copy of the task.
            alive = self.loop.while_it_loads(lambda: os.getppid() == supervisor)
            return dict(send(job, self.shard, channel, alive).counts())
