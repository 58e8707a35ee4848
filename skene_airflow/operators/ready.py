"""The task `evaluate` of a step with `ready`: it gives its worker slot back until the query answers true."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseSensorOperator, PokeReturnValue
from airflow.sdk.exceptions import AirflowFailException, AirflowSensorTimeout

from skene_airflow.operators.base import plain_errors
from skene_airflow.operators.evaluate import EvaluateOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

    from skene_airflow.loop.conditions import Ready
    from skene_airflow.operators.loop_ref import LoopRef

LOOK_EVERY = timedelta(seconds=30)


class WaitingEvaluateOperator(EvaluateOperator, BaseSensorOperator):
    """Are they there, and who? Rescheduled between looks; `ready.timeout` counts from the first of them."""

    def __init__(self, *, loop: LoopRef, ready: Ready, **kwargs: Any) -> None:
        every = max(1.0, min(LOOK_EVERY, ready.timeout / 4).total_seconds())
        patience = ready.timeout.total_seconds()
        super().__init__(loop=loop, mode="reschedule", poke_interval=every, timeout=patience, **kwargs)
        self.ready = ready

    def execute(self, context: Context) -> Any:
        """Stage the candidates once the query answers true. A time-out ends the run: another try would only wait."""
        try:
            return BaseSensorOperator.execute(self, context)
        except AirflowSensorTimeout:
            words = (
                f"`ready` was not true within {self.ready.timeout}, its timeout: nobody was judged, nothing was sent."
            )
        raise AirflowFailException(words)

    @plain_errors
    def poke(self, context: Context) -> bool | PokeReturnValue:
        """Look once, and go on to the condition if the answer is true."""
        from skene_airflow.stages.ready import ready

        self.loop.must_load()
        with self.job(context) as job:
            if not ready(job, self.ready):
                self.log.info("evaluate: `ready` is not true yet")
                return False
        return PokeReturnValue(is_done=True, xcom_value=self.staged(context))
