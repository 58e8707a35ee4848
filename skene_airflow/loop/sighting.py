"""Where a loop stood when it was last found good: a task need not list a folder of thousands to read one loop again.

As long as the folders have the same entries (their time of change tells) and every file that counts says the same,
nothing about the loop has changed.
"""

from __future__ import annotations

import json
import os
import time
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from skene_airflow.loop.shared import SharedFiles

_COARSE: Final = 3_000_000_000
"""Nanoseconds within which two changes of a folder may bear one time: file systems count in steps."""


class Sighting(NamedTuple):
    """One good loop: its file below the loops folder, what it draws on, and the folders that were listed to know."""

    file: str
    digests: dict[str, str]
    folders: dict[str, list[int] | None]

    def holds(self, shared: SharedFiles) -> bool:
        """Whether everything is still so."""
        return all(_facts(folder) == facts for folder, facts in self.folders.items()) and all(
            shared.digest(name) == digest for name, digest in self.digests.items()
        )

    def drawn_on(self) -> dict[str, str]:
        """The shared files that the loop draws on, with their digests."""
        return {name: digest for name, digest in self.digests.items() if name != self.file}


def now() -> int:
    """The moment before folders are listed, for ``sight``."""
    return time.time_ns()


def sight(file: str, digests: Mapping[str, str], folders: Iterable[str], began: int) -> Sighting | None:
    """What was seen of a good loop by listing these folders after ``began``; None if one may have changed since."""
    facts = {folder: _facts(folder) for folder in folders}
    if any(fact is not None and fact[-1] > began - _COARSE for fact in facts.values()):
        return None
    return Sighting(file, dict(digests), facts)


def dump(sighting: Sighting) -> str:
    """The sighting as text."""
    return json.dumps(sighting)


def parse(text: str | None) -> Sighting | None:
    """The sighting of a text; None if it is none."""
    try:
        file, digests, folders = json.loads(text or "null")
        found = Sighting(str(file), dict(digests), dict(folders))
    except (ValueError, TypeError):
        return None
    return found if found.folders and found.file in found.digests else None


def _facts(folder: str) -> list[int] | None:
    try:
        found = os.stat(folder)  # noqa: PTH116 - for every folder, before every task: Path would double the time
    except OSError:
        return None
    return [found.st_dev, found.st_ino, found.st_mtime_ns]
