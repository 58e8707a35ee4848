"""One root error. A child's docstring is its default message and says what to do next."""

from __future__ import annotations

import traceback
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from skene_airflow.nouns import Fault


class SkeneError(Exception):
    """Something went wrong in skene_airflow; the message says what to do next."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or (type(self).__doc__ or "").strip())


class LoopError(SkeneError):
    """The loop file has faults; mend each of them and save the file again.

    ``faults`` holds every fault found, sorted by file and position; some may lie in templates or inherited
    defaults. ``file`` is the loop file that they keep from running, as shown to people.
    """

    def __init__(self, faults: Sequence[Fault], file: str = "") -> None:
        self.faults: tuple[Fault, ...] = tuple(sorted(faults))
        self.file = file or (self.faults[0].file if self.faults else "")
        super().__init__("\n".join(str(fault) for fault in self.faults))


class SettingsError(SkeneError):
    """A setting is missing or wrong; set it in Airflow's [skene] section or on the connection."""


class ConfError(SkeneError):
    """The run's conf has a key or value that no loop knows; trigger the run again without it."""


class QueryError(SkeneError):
    """The database refused the condition; run `skene-airflow validate --source` to see the query alone."""


class LedgerError(SkeneError):
    """The ledger could not be read or written; nothing was sent. Airflow will try again."""


class AccountError(SkeneError):
    """The email provider refuses the whole account; mend it, then clear the failed task."""


class BrakeHeld(SkeneError):
    """A brake of `guard` holds the run; nobody was claimed. Trigger a run whose conf releases it, or mend the loop."""


class SendInterrupted(SkeneError):
    """Some batches could not be settled in this try; the next try goes on from there.

    ``retry_after`` is how long (seconds) the provider wants to be left alone; None: it did not say.
    """

    def __init__(self, message: str | None = None, retry_after: float | None = None) -> None:
        self.retry_after = retry_after
        super().__init__(message)


class RunDoesNotAddUp(SkeneError):
    """The run's counts do not add up, or mail of it is still open; see the log of `report`."""


class RunInDoubt(RunDoesNotAddUp):
    """Nobody can know whether some mail of the run left; a person decides with `skene-airflow deliveries`."""


FINAL = (AccountError, BrakeHeld, ConfError, LoopError, RunInDoubt, SettingsError)
"""Errors that only a person can mend: another try would end the same way."""


class MissingVariable(SkeneError):
    """A value that the template prints is missing for this person."""

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(f"'{name}' is missing")


def unexpected(error: Exception) -> str:
    """One line about an error that nobody foresaw: its kind and its place, and none of its own words."""
    places = [frame for frame in traceback.extract_tb(error.__traceback__) if "skene_airflow" in frame.filename]
    where = f" at {Path(places[-1].filename).name}:{places[-1].lineno} in {places[-1].name}" if places else ""
    return (
        f"Unexpected {type(error).__name__}{where}. Its own words are not shown, since they may hold a person's data;"
        " this is a bug of skene-airflow: report this line."
    )
