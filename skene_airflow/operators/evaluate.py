"""The task `evaluate`: runs the loop's condition once and stages its candidates."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from skene_airflow.operators.base import LoopOperator, plain_errors

if TYPE_CHECKING:
    from airflow.sdk import Context


class EvaluateOperator(LoopOperator):
    """Who? The condition's rows, staged; XCom gets counts."""

    @plain_errors
    def execute(self, context: Context) -> dict[str, Any]:
        """Stage the candidates of the run."""
        return self.staged(context)

    def staged(self, context: Context) -> dict[str, Any]:
        """Stage the candidates, and count them."""
        from skene_airflow.stages.evaluate import evaluate

        self.loop.must_load()
        with self.job(context) as job:
            return dict(evaluate(job).counts())
