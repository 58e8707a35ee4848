"""One root error. A child's docstring is its default message and says what to do next."""

from __future__ import annotations

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


class SendInterrupted(SkeneError):
    """Some batches could not be settled in this try; the next try goes on from there."""


class RunDoesNotAddUp(SkeneError):
    """The run's counts do not add up, or mail of it is still open; see the log of `report`."""


class MissingVariable(SkeneError):
    """A value that the template prints is missing for this person."""

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(f"'{name}' is missing")
