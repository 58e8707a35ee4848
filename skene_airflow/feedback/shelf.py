"""A few ledgers that requests share: each has one connection, and one request uses it at a time."""

from __future__ import annotations

import queue
import threading
from typing import TYPE_CHECKING, TypeVar

from skene_airflow.errors import LedgerError

if TYPE_CHECKING:
    from collections.abc import Callable

    from skene_airflow.ledger import Ledger

MOST = 4
"""Connections at a time; a request that finds none free waits its turn."""
WAIT = 10.0
"""Seconds that a request waits for one."""
T = TypeVar("T")


class Shelf:
    """Lends ledgers. ``open_ledger`` makes one; nothing is opened before it is needed."""

    def __init__(self, open_ledger: Callable[[], Ledger]) -> None:
        self._open, self._turns = open_ledger, threading.BoundedSemaphore(MOST)
        self._idle: queue.LifoQueue[Ledger] = queue.LifoQueue()

    def use(self, deed: Callable[[Ledger], T]) -> T:
        """Do ``deed``, which may be repeated, with a ledger. A connection that died idle costs one more try.

        Raises LedgerError.
        """
        if not self._turns.acquire(timeout=WAIT):
            raise LedgerError("All connections to the ledger are taken; ask again.")
        try:
            return self._lent(deed)
        finally:
            self._turns.release()

    def _lent(self, deed: Callable[[Ledger], T]) -> T:
        try:
            book = self._idle.get_nowait()
        except queue.Empty:
            book = self._open()
        try:
            try:
                return deed(book)
            except LedgerError:
                book.close()
                return deed(book)
        finally:
            self._idle.put(book)

    def close(self) -> None:
        """Close what is idle."""
        while not self._idle.empty():
            self._idle.get_nowait().close()
