"""Whether Airflow still watches over a task: whose supervisor was killed lives on, beside its own retry."""

from __future__ import annotations

import os
import select
import stat

_CHANNEL = 0
"""Airflow's supervisor talks to a task over the task's standard input, which is a socket."""


class Supervisor:
    """The supervisor of this task. In `airflow dags test` there is none, and nobody who could be missed."""

    def __init__(self) -> None:
        self._parent = os.getppid()
        self._supervised = _is_socket(_CHANNEL)

    def alive(self) -> bool:
        """False once the supervisor is gone: Airflow will start, or has started, another copy of this task."""
        return not self._supervised or (os.getppid() == self._parent and not _at_end(_CHANNEL))


def _is_socket(number: int) -> bool:
    try:
        return stat.S_ISSOCK(os.fstat(number).st_mode)
    except OSError:
        return False


def _at_end(number: int) -> bool:
    """Whether the other end of a socket is closed."""
    poller = select.poll()
    poller.register(number, 0)  # a hang-up is told unasked
    return bool(poller.poll(0))
