"""Many small writes as a few larger ones: what comes in while one is under way goes with the next."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

T = TypeVar("T")


class Gathering(Generic[T]):
    """Hands what it is given to ``write``, in a thread, at most ``most`` of it at a time and one write at a time.

    A single thing waits for nobody; under a flood the database is asked as often as it can answer, and no more.
    """

    def __init__(self, write: Callable[[Sequence[T]], object], most: int) -> None:
        self._write, self._most = write, most
        self._waiting: list[tuple[T, asyncio.Future[None]]] = []
        self._writer: asyncio.Task[None] | None = None

    async def put(self, thing: T) -> None:
        """Return when ``thing`` is written. Raises what ``write`` raises."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((thing, done))
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._drain())
        await done

    async def _drain(self) -> None:
        while self._waiting:
            now, self._waiting = self._waiting[: self._most], self._waiting[self._most :]
            error = await self._tried([thing for thing, _ in now])
            for thing, done in now:
                # One that the database cannot take must not take the others with it.
                own = await self._tried([thing]) if error is not None and len(now) > 1 else error
                if done.cancelled():
                    continue
                if own is None:
                    done.set_result(None)
                else:
                    done.set_exception(own)

    async def _tried(self, things: Sequence[T]) -> Exception | None:
        try:
            await asyncio.to_thread(self._write, things)
        except Exception as error:  # noqa: BLE001 - it is raised where it belongs to
            return error
        return None
