"""Lines for the person who watches: what is being done, and that it still goes on."""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from threading import Event, Thread
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# A terminal's line is rewritten; a log file gets a line now and then.
_TTY_SECONDS, _LOG_SECONDS = 1.0, 10.0


def say(text: str = "") -> None:
    """Print one line at once."""
    print(text, flush=True)


def title(text: str) -> None:
    """Print a heading."""
    say()
    say(text)
    say("-" * len(text))


@contextmanager
def progress(label: str, detail: Callable[[], str] | None = None) -> Iterator[None]:
    """Say what is being done, every now and then that it goes on (with ``detail()``), and how long it took."""
    done, started = Event(), time.monotonic()
    watcher = Thread(target=_watch, args=(label, detail, done, started), daemon=True)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()
        _line(f"{label}: {time.monotonic() - started:.1f} s", last=True)


def _watch(label: str, detail: Callable[[], str] | None, done: Event, started: float) -> None:
    _line(f"{label} ...", last=False)
    while not done.wait(_TTY_SECONDS if sys.stdout.isatty() else _LOG_SECONDS):
        extra = detail() if detail else ""
        _line(f"{label} ... {time.monotonic() - started:.0f} s{', ' + extra if extra else ''}", last=False)


def _line(text: str, *, last: bool) -> None:
    if sys.stdout.isatty():
        print(f"\r\x1b[K{text}", end="\n" if last else "", flush=True)
    else:
        print(text, flush=True)
