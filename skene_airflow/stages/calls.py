"""Calls on their way: while the provider thinks about one batch, the next is rendered, frozen and leased."""

from __future__ import annotations

from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING

from skene_airflow.nouns import Answer, SendResult

if TYPE_CHECKING:
    from skene_airflow.channels.base import Channel
    from skene_airflow.ledger.batches import Lease


class Calls:
    """The calls of one sender that nobody has settled yet.

    A sender begins with one call at a time. Each call that is accepted makes room for one more, up to the channel's
    ``in_flight``; any other answer leads back to one: in trouble as little as possible is in doubt, and an account
    that is refused is refused once. One call at a time is made by the sender's own thread.
    """

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._most = 1
        self._open: dict[Future[SendResult], Lease] = {}
        self._pool: ThreadPoolExecutor | None = None

    @property
    def open(self) -> int:
        """How many calls have no settled answer."""
        return len(self._open)

    @property
    def room(self) -> bool:
        """Whether one more call may begin; the provider counts those on their way against what it said is left."""
        left = self._channel.calls_left
        return len(self._open) < (self._most if left is None else max(1, min(self._most, left)))

    def begin(self, held: Lease) -> None:
        """Make the call of a leased batch."""
        if self._most == 1:
            future: Future[SendResult] = Future()
            future.set_result(self._channel.send(held.body, held.idem_key))
        else:
            self._pool = self._pool or ThreadPoolExecutor(self._channel.in_flight, thread_name_prefix="call")
            future = self._pool.submit(self._channel.send, held.body, held.idem_key)
        self._open[future] = held

    def answered(self, seconds: float | None) -> tuple[Lease, SendResult] | None:
        """One call that was answered, waiting for it at most so long (None: as long as it takes); None if none was."""
        done = next((future for future in self._open if future.done()), None)
        if done is None and self._open:
            done = next(iter(wait(self._open, seconds, FIRST_COMPLETED).done), None)
        if done is None:
            return None
        held = self._open.pop(done)
        result = done.result()
        accepted = result.answer is Answer.ACCEPTED
        self._most = min(self._most + 1, self._channel.in_flight) if accepted else 1
        return held, result

    def close(self) -> None:
        """Begin no more calls; those on their way end by themselves, and their leases run out."""
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
            self._pool = None
