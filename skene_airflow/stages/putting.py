"""Messages in the app: each batch is judged again, said and put there in one transaction; no doubt can arise."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from skene_airflow.errors import SendInterrupted
from skene_airflow.ledger import batches, inbox
from skene_airflow.ledger.batches import Lane
from skene_airflow.message.notice import NoticeRenderer
from skene_airflow.nouns import Mode, Notice
from skene_airflow.stages.freeze import Gathering
from skene_airflow.stages.mode import lowered
from skene_airflow.stages.send import Sent

if TYPE_CHECKING:
    from collections.abc import Callable

    from skene_airflow.message.blueprint import Blueprint
    from skene_airflow.message.render import Row
    from skene_airflow.stages.job import Job

log = logging.getLogger(__name__)


class Putter(Gathering[Notice]):
    """One shard's sender of messages in the app; ``alive`` and ``sleep`` are as for Sender."""

    def __init__(
        self,
        job: Job,
        shard: int = 0,
        alive: Callable[[], bool] = lambda: True,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        super().__init__(job)
        self._shard, self._alive, self._sleep = shard, alive, sleep
        self.done = Sent()

    def run(self) -> Sent:
        """Put whatever the run's step has open. Raises SendInterrupted and LedgerError; what is there stays."""
        return self.drain(self._job.recorded().mode)

    def drain(self, mode: Mode) -> Sent:
        """Put whatever the step has open, from any run. Raises as ``run`` does."""
        if mode is not Mode.LIVE or lowered(mode, self._job.settings.max_mode) is not mode:
            log.info("send: [skene] max_mode is %s, so nothing appears in the app", self._job.settings.max_mode)
            return self.done
        lane = Lane(self._job.names, mode, self._shard, inbox.PROVIDER, None)
        try:
            while self._more(lane):
                if not self._alive():
                    raise SendInterrupted("The supervisor of this task is gone; whoever comes next goes on from here.")
        finally:
            self.done.left_out = self.left_out
            log.info("send: %s put into the app, %s left out before", self.done.sent, self.done.left_out)
        return self.done

    def _more(self, lane: Lane) -> bool:
        """Put one batch there. False when nothing is left to do or to wait for."""
        with self._ledger.transaction() as cur:
            picked = batches.pick(self._ledger, cur, lane)
            notices = self._gather(cur, picked, lane) if picked else None
            put = inbox.put(self._ledger, cur, picked, notices) if picked and notices else 0
        if picked is not None:
            self.done.sent += put  # only what is committed counts
            self.done.calls += 1
            self._ask()
            return True
        seconds = batches.pending(self._ledger, lane)
        if seconds is None:
            return False
        self._sleep(min(seconds, 5.0) + 0.05)  # another shard has it in hand
        return True

    def _maker(self, blueprint: Blueprint) -> Callable[[Row], Notice]:
        return NoticeRenderer(blueprint).render
