"""One user of the demo's database at a time: resetting it under a running Airflow would confuse both."""

from __future__ import annotations

import fcntl
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from demo.paths import STATE

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def held(otherwise: str) -> Iterator[None]:
    """Hold the demo's lock; if somebody else has it, end with the message ``otherwise``."""
    STATE.mkdir(exist_ok=True)
    with (STATE / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            sys.exit(otherwise)
        # The lock goes with the process, however it ends.
        yield
