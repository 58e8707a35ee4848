"""The files that loops share (templates, segments, defaults), and which of them a loop draws on.

A loop draws on every shared file whose name is a word of its text, or of a text that it draws on: a little more than
it needs now and then, and never less. So an edit is told to the loops it may concern, without parsing anything.
"""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

from skene_airflow.loop.defaults import NAMES as DEFAULTS

if TYPE_CHECKING:
    from collections.abc import Iterator

FOLDERS: Final = ("templates", "segments")
_ENDINGS: Final = (".yaml", ".yml")
_WORD: Final = re.compile(r"[a-z0-9_][a-z0-9_-]*")


class SharedFiles:
    """The shared files of one loops folder, as they stand when they are first asked for."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._by_word: dict[str, list[str]] = {}
        self._for_all: list[str] = []
        self._known: dict[str, tuple[str, frozenset[str]]] = {}
        self._drawn_on: dict[tuple[str, Path], dict[str, str]] = {}
        for name in _inside(root):
            word = name.rpartition("/")[2].partition(".")[0].lower()
            if word.startswith("_"):  # layouts, and what a loops folder says of itself
                self._for_all.append(name)
            else:
                self._by_word.setdefault(word, []).append(name)

    def drawn_on(self, text: str, folder: Path) -> dict[str, str]:
        """For a loop with this text in this folder: each shared file (relative to the loops folder) → its digest."""
        if (text, folder) not in self._drawn_on:
            self._drawn_on[text, folder] = self._follow(text, folder)
        return self._drawn_on[text, folder]

    def _follow(self, text: str, folder: Path) -> dict[str, str]:
        names = [*self._for_all, *self._defaults(folder)]
        words = set(_words(text))
        digests: dict[str, str] = {}
        while names or words:
            names += [name for word in words for name in self._by_word.get(word, ())]
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
            try:
                raw = Path(self._root, name).read_bytes()
            except OSError:  # whoever uses it says so
                raw = b""
            digest = hashlib.sha256(raw).hexdigest()[:12]
            self._known[name] = digest, frozenset(_words(raw.decode("utf-8", "replace")))
        return self._known[name]


def _inside(root: Path) -> Iterator[str]:
    """The names of all shared files but defaults, relative to the loops folder."""
    with os.scandir(root) as found:
        names = [entry.name for entry in found]
    yield from sorted(name for name in names if name[0] == "_" and name not in DEFAULTS and name.endswith(_ENDINGS))
    for folder in FOLDERS:
        for where, below, files in os.walk(root / folder):
            below.sort()
            start = Path(where).relative_to(root).as_posix()
            yield from (f"{start}/{name}" for name in sorted(files) if name[0] != ".")


def _words(text: str) -> list[str]:
    return _WORD.findall(text.lower())
