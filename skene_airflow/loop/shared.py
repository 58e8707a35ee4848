"""The files that loops share (templates, segments, defaults), and which of them a loop draws on.

A loop draws on every shared file whose name is a word of its text, or of a text that it draws on: a little more than
it needs now and then, and never less. So an edit is told to the loops it may concern, without parsing anything.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from skene_airflow.loop.defaults import NAMES as DEFAULTS

if TYPE_CHECKING:
    from collections.abc import Iterator

FOLDERS: Final = ("templates", "segments")
OF_ALL: Final = ("_topics.yaml", "_topics.yml")
_WORD: Final = re.compile(r"[a-z0-9_][a-z0-9_-]*")


class Listing(NamedTuple):
    """The shared files of a folder: those of every loop, the others by their word, and the folders they are in."""

    for_all: tuple[str, ...]
    by_word: dict[str, list[str]]
    folders: tuple[str, ...]


class SharedFiles:
    """The shared files of one loops folder, as they stand when they are first asked for."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._known: dict[str, tuple[str, frozenset[str]]] = {}
        self._drawn_on: dict[tuple[str, Path], dict[str, str]] = {}

    @cached_property
    def listing(self) -> Listing:
        """Every shared file that there is."""
        for_all = [name for name in OF_ALL if (self._root / name).is_file()]
        by_word: dict[str, list[str]] = {}
        folders: list[str] = []
        before = len(str(self._root)) + 1
        for folder in FOLDERS:
            for where, name in files_below(f"{self._root}/{folder}", listed=folders):
                word, full = name.partition(".")[0].lower(), f"{where[before:]}/{name}"
                if word[0] == "_":  # a layout
                    for_all.append(full)
                else:
                    by_word.setdefault(word, []).append(full)
        return Listing(tuple(for_all), by_word, tuple(folders))

    def trust(self, text: str, folder: Path, drawn_on: dict[str, str]) -> None:
        """Take it as known what a loop with this text in this folder draws on."""
        self._drawn_on[text, folder] = drawn_on

    def digest(self, name: str) -> str:
        """The digest of a file of the loops folder as it stands now; that of nothing if it cannot be read."""
        return _digest(_bytes(Path(self._root, name)))

    def drawn_on(self, text: str, folder: Path) -> dict[str, str]:
        """For a loop with this text in this folder: each shared file (relative to the loops folder) → its digest."""
        if (text, folder) not in self._drawn_on:
            self._drawn_on[text, folder] = self._follow(text, folder)
        return self._drawn_on[text, folder]

    def _follow(self, text: str, folder: Path) -> dict[str, str]:
        names = [*self.listing.for_all, *self._defaults(folder)]
        words = set(_words(text))
        digests: dict[str, str] = {}
        while names or words:
            names += [name for word in words for name in self.listing.by_word.get(word, ())]
            words = set()
            for name in [name for name in names if name not in digests]:
                digests[name], more = self._read(name)
                words |= more
            names = []
        return dict(sorted(digests.items()))

    def _defaults(self, folder: Path) -> Iterator[str]:
        for above in (folder, *folder.parents):
            if above != self._root and self._root not in above.parents:
                return
            for name in DEFAULTS:
                if (above / name).is_file():
                    yield (above / name).relative_to(self._root).as_posix()

    def _read(self, name: str) -> tuple[str, frozenset[str]]:
        if name not in self._known:
            raw = _bytes(Path(self._root, name))
            self._known[name] = _digest(raw), frozenset(_words(raw.decode("utf-8", "replace")))
        return self._known[name]


def files_below(
    folder: str, not_in: frozenset[str] = frozenset(), listed: list[str] | None = None
) -> Iterator[tuple[str, str]]:
    """Folder and name of every file below a folder, in no order; nothing whose name begins with a dot.

    Folders that begin with ``_`` or are ``not_in`` are left out, and links to folders; ``listed`` gets the others, also
    if they are not there. This takes half the time of os.walk.
    """
    if listed is not None:
        listed.append(folder)
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            name = entry.name
            if name[0] == ".":
                continue
            if not entry.is_dir(follow_symlinks=False):
                yield folder, name
            elif not (not_in and (name[0] == "_" or name in not_in)):
                yield from files_below(f"{folder}/{name}", not_in, listed)


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:  # whoever uses it says so
        return b""


def _digest(raw: bytes) -> str:
    return hashlib.sha256(raw).hexdigest()[:12]


def _words(text: str) -> list[str]:
    return _WORD.findall(text.lower())
