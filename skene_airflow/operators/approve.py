"""The task `approve` of a loop with `guard.approve_above`: somebody says yes before anybody is claimed.

It is Airflow's own human-in-the-loop operator: the question is in the UI under "Required Actions", the task waits in
the state `awaiting_input`, and neither a worker nor a triggerer is held meanwhile.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.standard.operators.hitl import ApprovalOperator

from skene_airflow.operators.base import LoopOperator, plain_errors
from skene_airflow.operators.metrics import tell_decided
from skene_airflow.operators.segment import at_most

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow.sdk import Context

    from skene_airflow.operators.loop_ref import LoopRef


class ApproveOperator(LoopOperator, ApprovalOperator):
    """May we, says a person. XCom gets the numbers of the shards to send; none after a no, and `send` is skipped."""

    template_fields: Sequence[str] = ()
    approved = False
    by = ""

    def __init__(self, *, loop: LoopRef, **kwargs: Any) -> None:
        super().__init__(loop=loop, subject="", defaults=ApprovalOperator.REJECT, **kwargs)

    @plain_errors
    def execute(self, context: Context) -> list[int]:
        """Ask, and wait; go on at once where there is nothing to ask, or no time to answer."""
        from skene_airflow.stages.approve import answer, request

        self.loop.must_load()
        with self.job(context) as job:
            asked = request(job)
            left = asked.until - datetime.now(UTC) if asked else timedelta(0)
            if asked is not None and left <= timedelta(0):
                answer(job, approved=False)
        if asked is not None and left > timedelta(0):
            self.subject, self.body, self.response_timeout = asked.subject, asked.body, left
            ApprovalOperator.execute(self, context)  # it leaves by an exception that parks the task
        return self.settled(context)

    def execute_complete(self, context: Context, event: dict[str, Any]) -> list[int]:
        """Keep the answer, and do what follows from it."""
        by = event.get("responded_by_user") or {}
        self.approved, self.by = (
            event.get("chosen_options") == [self.APPROVE],
            str(by.get("name") or by.get("id") or ""),
        )
        said = "approved" if self.approved else "rejected" if by else "nobody answered in time"
        self.log.info("approve: %s", said)
        return self.kept(context)

    @plain_errors
    def kept(self, context: Context) -> list[int]:
        """What follows from an answer that is kept: another try does not ask again."""
        from skene_airflow.stages.approve import answer

        with self.job(context) as job:
            answer(job, approved=self.approved, by=self.by)
        return self.settled(context)

    def settled(self, context: Context) -> list[int]:
        """Claim the audience, or record that nobody is mailed; nothing, if that is done."""
        from skene_airflow.stages.segment import segment

        self.loop.must_load()
        with self.job(context) as job:
            run = job.recorded()
            with self.channel_of(run) as channel:
                segmented = segment(job, channel)
            if not run.decided:
                tell_decided(job, segmented)
        context["ti"].xcom_push(key="counts", value=segmented.counts())
        segmented.refuse_held()
        return at_most(segmented.shards)
