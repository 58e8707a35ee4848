"""Template files read with what they include, and every piece of them traced back to its file."""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from skene_airflow.message.files import FOLDER, in_language, label
from skene_airflow.message.front import Part, TemplateFile, read_file, read_text
from skene_airflow.message.limits import INCLUDES_CAP, TAGS_CAP
from skene_airflow.message.markdown import to_html
from skene_airflow.message.tags import Piece, split

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from skene_airflow.loop.schema import Loop

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]*(/[A-Za-z0-9_][A-Za-z0-9_-]*)*\.(html|md|txt)")
_INCLUDE = re.compile(r"""include\s+(?P<quote>['"])(?P<name>[^'"\\]*)(?P=quote)""")
SPELLING = 'write `{% include "_name.html" %}`, the name in quotes and nothing else'


class CannotIncludeError(Exception):
    """What is wrong with an `include`, and what to write instead."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.message, self.hint = message, hint


@dataclass(frozen=True, slots=True)
class Source:
    """One stretch of Jinja in a file. ``ending`` (`.html`, `.md`, `.txt`) says how it is read."""

    file: TemplateFile
    part: Part
    ending: str


@dataclass(slots=True)
class Expanded:
    """Pieces with every `include` resolved; their offsets count through the whole and lead back to the files."""

    pieces: list[Piece] = field(default_factory=list)
    _starts: list[int] = field(default_factory=list)
    _origins: list[tuple[Source, int, bool]] = field(default_factory=list)
    _end: int = 0

    def add(self, piece: Piece, origin: Source, *, whole: bool = False) -> None:
        """Take a piece of ``origin``; ``whole``: its place in the file cannot be told any more."""
        self._starts.append(self._end)
        self._origins.append((origin, piece.offset, whole))
        self.pieces.append(replace(piece, offset=self._end))
        self._end += len(piece.text) + 1

    def place(self, offset: int) -> tuple[TemplateFile, int, int]:
        """Return the file, line and column of an offset."""
        index = max(bisect_right(self._starts, offset) - 1, 0)
        if not self._origins:
            return TemplateFile(""), 1, 1
        origin, begin, whole = self._origins[index]
        if whole:
            return origin.file, origin.part.line, 1
        return origin.file, *origin.file.place(origin.part, begin + offset - self._starts[index])


class Library:
    """Opens the files of one language of a template, each once."""

    def __init__(self, loop: Loop, language: str) -> None:
        self._loop, self._language = loop, language
        self._folder = loop.root / FOLDER
        self._open: dict[str, Source] = {}
        self.files: list[TemplateFile] = []

    def page(self, path: Path) -> Source:
        """The body of a template file; its front matter stands in ``file``."""
        file = self._note(read_file(path, label(self._loop, path)))
        return Source(file, file.body, path.suffix)

    def plain(self, path: Path, name: str = "") -> Source:
        """A file without front matter. ``name`` is the part's name in faults."""
        file = self._note(TemplateFile(label(self._loop, path)))
        file.text = read_text(path, file) or ""
        return Source(file, Part(name, file.text, 1, 1), path.suffix)

    def find(self, name: str) -> Path | None:
        """A file of the templates folder in this language, or in a more general one."""
        return in_language(self._folder, name, self._language)

    def included(self, name: str, into: Source) -> Source:
        """The file that an `include` in ``into`` names. Raises CannotIncludeError."""
        if not _NAME.fullmatch(name):
            hint = "name a file below templates/ with its ending: `_button.html`"
            raise CannotIncludeError(f"'{name[:60]}' is no plain name of a file", hint)
        if name.endswith(".txt") != (into.ending == ".txt"):
            what = "a text part includes .txt files" if into.ending == ".txt" else "HTML includes .html and .md files"
            raise CannotIncludeError(what, "name another file")
        if name not in self._open:
            path = self.find(name)
            if path is None:
                raise CannotIncludeError(f"there is no file {FOLDER}/{name}", "write it, or name another")
            self._open[name] = self.plain(path)
        return self._open[name]

    def parts(self) -> Iterator[tuple[TemplateFile, Part]]:
        """Every stretch of Jinja in the files opened so far."""
        for file in self.files:
            found = (file.subject, file.preheader, file.body if file.body.name else Part("", file.text, 1, 1))
            yield from ((file, part) for part in found if part is not None)

    def _note(self, file: TemplateFile) -> TemplateFile:
        self.files.append(file)
        return file


def _include_in(piece: Piece) -> str | None:
    """The name in a block `include "name"`; None for other pieces. Raises CannotIncludeError for other spellings."""
    if piece.kind != "block" or piece.word != "include":
        return None
    found = _INCLUDE.fullmatch(piece.text.strip())
    if found is None:
        raise CannotIncludeError("an include of this form is not part of templates", SPELLING)
    return found.group("name")


def expand(source: Source, library: Library) -> Expanded:
    """Return the pieces of a source that was read and found good, with the files it includes, as HTML or text.

    Raises CannotIncludeError for an `include` that is spelled in another way than templates have it.
    """
    found = Expanded()
    count = [0]
    _expand(source, library, found, count)
    return found


def _expand(source: Source, library: Library, into: Expanded, count: list[int]) -> None:
    count[0] += 1
    if count[0] > INCLUDES_CAP or len(into.pieces) > 2 * TAGS_CAP:
        raise CannotIncludeError("this template and what it includes are too much for one mail", "include less")
    if source.ending == ".md":
        html = to_html([_for_markdown(piece, source, library, count) for piece in split(source.part.source)])
        for piece in split(html):
            into.add(piece, source, whole=True)
        return
    for piece in split(source.part.source):
        name = _include_in(piece)
        if name is None:
            into.add(piece, source)
        else:
            _expand(library.included(name, source), library, into, count)


def _for_markdown(piece: Piece, source: Source, library: Library, count: list[int]) -> Piece:
    name = _include_in(piece)
    if name is None:
        return piece
    inner = Expanded()
    _expand(library.included(name, source), library, inner, count)
    return Piece("html", "".join(part.source for part in inner.pieces), piece.offset)
