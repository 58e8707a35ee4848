"""What was found good before: Airflow reads every loop again and again, and most of what it reads has not changed.

Only "good" is remembered, under a digest of all that was read and of the code that judged it, and only to save time:
without the file everything is judged anew.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import sys
import tempfile
from functools import cache, cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final

from skene_airflow.loop.shared import files_below

if TYPE_CHECKING:
    from collections.abc import Iterable

_LONGEST: Final = 4 * 1024 * 1024  # bytes of the file; then it begins anew
_JUDGES: Final = ("loop", "message", "stages")


class Memo:
    """A set of digests, kept in a file that several processes append to; and notes, a small file for each name."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._new: list[str] = []

    @cached_property
    def _good(self) -> set[str]:
        return _read(self._path)

    @staticmethod
    def key(parts: Iterable[str]) -> str:
        """The digest of everything that a judgement depends on."""
        return hashlib.sha256("\0".join((_judge(), *parts)).encode("utf-8", "surrogatepass")).hexdigest()[:40]

    def knows(self, key: str) -> bool:
        """Whether this was found good before."""
        return key in self._good

    def add(self, key: str) -> None:
        """This is good."""
        self._good.add(key)
        self._new.append(key)

    def note(self, name: str) -> str | None:
        """What was written down under this name, the key of what it is about."""
        if self._path is None:
            return None
        try:
            return self._path.with_name(name).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            return None

    def write(self, name: str, text: str) -> None:
        """Write a note; trouble costs time, nothing else."""
        if self._path is None:
            return
        beside = self._path.with_name(f"{name}.{os.getpid()}")
        with contextlib.suppress(OSError):
            beside.write_text(text, encoding="utf-8")
            beside.replace(self._path.with_name(name))

    def save(self) -> None:
        """Keep what is new for the next process; trouble with the file costs time, nothing else."""
        if not self._new or self._path is None:
            return
        lines = "".join(f"{key}\n" for key in self._new)
        with contextlib.suppress(OSError):
            begin = os.O_TRUNC if self._path.exists() and self._path.stat().st_size > _LONGEST else os.O_APPEND
            opened = os.open(self._path, os.O_WRONLY | os.O_CREAT | begin, 0o600)
            with os.fdopen(opened, "w", encoding="ascii") as file:
                file.write(lines)
        self._new.clear()


def memo() -> Memo:
    """The memo of this user on this machine; one that forgets where nobody can write."""
    folder = Path(tempfile.gettempdir(), f"skene_airflow_{os.getuid()}")
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
    except OSError:
        return Memo(None)
    # Where everybody may write, a folder of this name may be somebody else's.
    mine = stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o022
    return Memo(folder / "good" if mine else None)


def _read(path: Path | None) -> set[str]:
    if path is None:
        return set()
    try:
        return set(path.read_text(encoding="ascii").split())
    except (OSError, UnicodeDecodeError):
        return set()


@cache
def _judge() -> str:
    """What decides over good and bad: Python, the installed packages, and our own code as it stands."""
    package = Path(__file__).parent.parent
    jinja = find_spec("jinja2")
    places = [str(Path(jinja.origin).parent.parent)] if jinja and jinja.origin else []
    code = sorted(f"{folder}/{name}" for room in _JUDGES for folder, name in files_below(f"{package}/{room}"))
    places += [place for place in code if not place.endswith(".pyc")]
    facts = [(place, found.st_mtime_ns, found.st_size) for place in places for found in (os.stat(place),)]  # noqa: PTH116
    return hashlib.sha256(repr((sys.version, facts)).encode()).hexdigest()
