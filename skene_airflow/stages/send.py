"""Send: lease, freeze, call, settle, until nothing is left for this shard to do or to wait for."""

from __future__ import annotations

import logging
import random
import time
from collections import Counter
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

from skene_airflow.errors import AccountError, LedgerError, SendInterrupted, SkeneError
from skene_airflow.ledger import batches
from skene_airflow.ledger.batches import Lane, Lease
from skene_airflow.nouns import Answer, Mode, SendResult, Status
from skene_airflow.stages.calls import Calls
from skene_airflow.stages.freeze import Freezer
from skene_airflow.stages.mode import lowered
from skene_airflow.stages.pace import Pace, policy_for_doubt

if TYPE_CHECKING:
    from collections.abc import Callable

    from skene_airflow.channels.base import Channel
    from skene_airflow.stages.job import Job

log = logging.getLogger(__name__)

TRIES = 4
"""Calls for one batch within one task try; after that Airflow's own retry goes on."""
BACKOFF = 1.0
"""Seconds before the second call for a batch, doubled for each one after it; the provider's own word comes first."""
LONGEST_TURN = 45.0
"""The longest wait (seconds) for a turn under a rate limit with a lease in hand."""
FRESH = 5.0
"""Seconds after which a lease is renewed before the call: no call may outlast the lease that it was made under."""
SETTLING = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0)
"""Seconds between tries to write down what a provider answered: it is known nowhere else."""
PATIENCE = 600.0
"""Seconds without any batch settled after which the task gives way to Airflow's retry."""


@dataclass(slots=True)
class Sent:
    """What one shard did; safe to store anywhere."""

    sent: int = 0
    failed: int = 0
    uncertain: int = 0
    left_out: int = 0
    calls: int = 0
    errors: dict[str, int] = field(default_factory=dict)

    def counts(self) -> dict[str, object]:
        """The same as plain data."""
        return asdict(self)


class Sender:
    """One shard's sender.

    ``alive`` says whether whoever started this sender still wants it; ``sleep`` and ``clock`` (seconds) are there
    for tests.
    """

    def __init__(
        self,
        job: Job,
        shard: int,
        channel: Channel,
        alive: Callable[[], bool] = lambda: True,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ledger, self._channel, self._job = job.ledger, channel, job
        self._shard, self._alive, self._sleep, self._clock = shard, alive, sleep, clock
        self._freezer = Freezer(job, channel)
        self._pace = Pace(job, channel)
        self._calls = Calls(channel)
        self._policy = policy_for_doubt(channel)
        self._account: bytes | None = None
        self._tries: Counter[int] = Counter()
        self._resume_at = float("-inf")
        self.done = Sent()

    def run(self) -> Sent:
        """Send whatever the run's step and mode have open. Raises AccountError or SendInterrupted."""
        return self.drain(self._job.recorded().mode)

    def drain(self, mode: Mode) -> Sent:
        """Send whatever the step has open in this mode, from any run. Raises AccountError or SendInterrupted."""
        ceiling = self._job.settings.max_mode
        if lowered(mode, ceiling) is not mode or mode is Mode.SHADOW:
            log.info("send: [skene] max_mode is %s, so no %s batch is sent", ceiling, mode)
            return self.done
        self._account = batches.account_of(self._ledger, self._channel.account)
        try:
            self._empty(mode)
        except Exception:
            self._settle_open()
            raise
        finally:
            self._calls.close()
            self.done.left_out = self._freezer.left_out
            self.done.uncertain += self._freezer.uncertain
            self._tell()
        self._refuse_given_up()
        return self.done

    def _empty(self, mode: Mode) -> None:
        """Send batch after batch until nothing is left for this shard to do or to wait for."""
        progress = self._clock()
        while True:
            self._go_on(progress)
            progress = self._clock() if self._collect(0.0 if self._calls.room else None) else progress
            lane, since = self._lane(mode), self._clock()
            wait, turn = self._resume_at - since, self._pace.ahead() - LONGEST_TURN
            held = None if max(wait, turn) > 0 or not self._calls.room else self._freezer.next(lane)
            if held is not None:
                progress = self._clock() if self._send(held, since) else progress
                continue
            if self._calls.open:
                progress = self._clock() if self._collect(None) else progress
                continue
            seconds = batches.pending(self._ledger, lane)
            if seconds is None:
                if not self._freezer.take_over(lane):
                    return
                continue
            progress = since if turn > 0 else progress  # to queue for a turn is no standstill
            self._sleep(min(max(seconds, wait, turn), 5.0) + 0.05)

    def _go_on(self, progress: float) -> None:
        """Raise SendInterrupted if nobody wants this sender any more, or if it gets nowhere."""
        if not self._alive():
            raise SendInterrupted("The supervisor of this task is gone; whoever comes next goes on from here.")
        now = self._clock()
        if max(now, self._resume_at) - progress > PATIENCE:
            wait = self._resume_at - now
            raise SendInterrupted(
                f"Nothing could be sent for {PATIENCE:.0f} seconds; the next try goes on.", wait if wait > 0 else None
            )

    def _lane(self, mode: Mode) -> Lane:
        given_up = tuple(batch for batch, tries in self._tries.items() if tries >= TRIES)
        return Lane(
            self._job.names,
            mode,
            self._shard,
            self._channel.name,
            self._channel.window,
            given_up,
            self._account,
        )

    def _send(self, held: Lease, since: float) -> bool:
        """Wait for this call's turn, then make it; True if a batch is settled. ``since``: when it was leased."""
        wait, resume_at = self._pace.turn(len(held.member_ids), LONGEST_TURN), self._resume_at
        if wait is None:  # the lease would run out meanwhile
            batches.release(self._ledger, held, LONGEST_TURN, held.in_doubt, "rate")
            return False
        try:
            self._pause(wait)
        except SkeneError:
            batches.release(self._ledger, held, 0.0, held.in_doubt, "interrupted")
            raise
        if not self._alive():
            batches.release(self._ledger, held, 0.0, held.in_doubt, "interrupted")
            return False
        if self._resume_at > max(
            resume_at, self._clock()
        ):  # another call was told meanwhile that the account has to wait
            batches.release(self._ledger, held, self._resume_at - self._clock(), held.in_doubt, "rate")
            return False
        if self._clock() - since > FRESH and not batches.renew(self._ledger, held):
            log.warning("send: a batch waited for longer than its lease; whoever has it now goes on with it")
            return False
        return self._call(held)

    def _call(self, held: Lease) -> bool:
        """Make one provider call and settle what is answered by now; True if a batch is settled."""
        self._calls.begin(held)
        self.done.calls += 1
        return self._collect(0.0)

    def _pause(self, seconds: float) -> None:
        """Sleep, and settle what is answered meanwhile."""
        until = self._clock() + seconds
        while self._calls.open and (left := until - self._clock()) > 0:
            self._collect(left)
        self._sleep(max(0.0, min(seconds, until - self._clock())))

    def _collect(self, seconds: float | None) -> bool:
        """Settle a call that is answered within so many seconds (None: however long it takes); True if one is."""
        answered = self._calls.answered(seconds)
        if answered is None:
            return False
        held, result = answered
        self._resume_at = max(self._resume_at, self._clock() + self._channel.pause)
        if result.error:
            self.done.errors[result.error] = self.done.errors.get(result.error, 0) + 1
        return self._settle(held, result)

    def _settle_open(self) -> None:
        """Before giving up: what the provider says to calls that are on their way is known nowhere else."""
        while self._calls.open:
            with suppress(SkeneError):
                self._collect(None)

    def _settle(self, held: Lease, result: SendResult) -> bool:
        doubt = held.in_doubt
        match result.answer:
            case Answer.ACCEPTED:
                self.done.sent += self._write(batches.settle_sent, held, result.message_ids)
            case Answer.BAD_LOT:
                self._refused(held, result)
            case Answer.MISMATCH:
                self.done.uncertain += self._write(
                    batches.settle_all, held, Status.UNCERTAIN, result.error, result.detail
                )
            case Answer.DOUBT if self._channel.window is None:
                # It cannot be asked: the rows are uncertain, until the connection's policy says what of it.
                self.done.uncertain += self._write(
                    batches.settle_all, held, Status.UNCERTAIN, result.error, result.detail, self._policy
                )
            case Answer.ACCOUNT:
                self._write(batches.release, held, 0.0, doubt, result.error)
                raise AccountError(
                    f"The email provider refuses this account ({result.error}): {result.detail} "
                    "Everybody not mailed yet is still queued; mend it, then clear this task."
                )
            case Answer.LATER | Answer.DOUBT | Answer.BUSY:
                self._later(held, result, doubt or result.answer is not Answer.LATER)
                return False
        return True

    def _write(self, deed: Callable[..., int], held: Lease, *facts: object) -> int:
        """Write down what the provider answered, however long the ledger is away: it is known nowhere else."""
        for pause in SETTLING:
            try:
                return deed(self._ledger, held, *facts)
            except LedgerError as error:
                log.warning("send: an answer of the provider could not be written down yet: %s", error)
                self._sleep(pause)
        return deed(self._ledger, held, *facts)

    def _refused(self, held: Lease, result: SendResult) -> None:
        if len(held.member_ids) == 1:
            self.done.failed += self._write(batches.settle_all, held, Status.FAILED, result.error, result.detail)
            return
        log.warning(
            "send: the provider refuses somebody in a batch of %s (%s); cutting it in two",
            len(held.member_ids),
            result.error,
        )
        self._write(batches.recut, held, result.error)

    def _later(self, held: Lease, result: SendResult, in_doubt: bool) -> None:
        asked = result.retry_after
        if asked is None:
            self._tries[held.batch_id] += 1
            asked = BACKOFF * 2.0 ** (self._tries[held.batch_id] - 1)
        # Airflow gives all mapped tasks the same jitter; ours differs, so that shards do not call at one moment.
        asked *= random.uniform(1.0, 1.3)
        if result.retry_after is not None:  # the account has to wait, not only this batch
            self._resume_at = max(self._resume_at, self._clock() + asked)
        self._write(batches.release, held, asked, in_doubt, result.error)

    def _tell(self) -> None:
        errors = self._errors()
        log.info(
            "send: %s sent, %s failed, %s uncertain, %s left out before sending, %s calls%s",
            self.done.sent,
            self.done.failed,
            self.done.uncertain,
            self.done.left_out,
            self.done.calls,
            f" (errors: {errors})" if errors else "",
        )

    def _errors(self) -> str:
        return ", ".join(f"{name} {count}" for name, count in sorted(self.done.errors.items()))

    def _refuse_given_up(self) -> None:
        given_up = sum(tries >= TRIES for tries in self._tries.values())
        if given_up:
            raise SendInterrupted(
                f"{given_up} batches could not be settled in this try ({self._errors()}); the next try goes on."
            )
