"""The task `send`: sends the batches of one shard; Airflow runs one of it for each shard."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from skene_airflow.operators.base import LoopOperator, plain_errors
from skene_airflow.operators.metrics import tell_sent
from skene_airflow.operators.supervisor import Supervisor

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
        from skene_airflow.stages.putting import Putter
        from skene_airflow.stages.send import Sender

        supervisor = Supervisor()
        with self.job(context) as job, self.channel() as channel:
            alive = self.loop.while_it_loads(supervisor.alive)
            sender = Putter(job, self.shard, alive) if channel is None else Sender(job, self.shard, channel, alive)
            try:
                return dict(sender.run().counts())
            finally:
                tell_sent(job, sender.done)
