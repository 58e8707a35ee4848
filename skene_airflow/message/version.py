"""One language of a template: its files read, checked and put together."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from jinja2 import TemplateSyntaxError

from skene_airflow.message import layout, textpart
from skene_airflow.message.blueprint import Words
from skene_airflow.message.codes import Code
from skene_airflow.message.environment import sandbox
from skene_airflow.message.front import Part
from skene_airflow.message.inline import inline
from skene_airflow.message.markup import Scanner
from skene_airflow.message.scope import BUILT_IN, Reader, Uses
from skene_airflow.message.sources import CannotIncludeError, Expanded, Library, Source, expand
from skene_airflow.message.utm import tag_page, tag_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from skene_airflow.loop.schema import Loop
    from skene_airflow.message.files import Version
    from skene_airflow.nouns import Fault

_QUOTED = re.compile(r"'([^']+)'")
_NO_WAY_OUT = "unsubscribe_url"


@dataclass(frozen=True, slots=True)
class Given:
    """What the action says for all languages: the columns behind each key, texts of a variant, utm parameters."""

    keys: Mapping[str, frozenset[str]]
    subject: str | None = None
    preheader: str | None = None
    query: str = ""


@dataclass(slots=True)
class Reading:
    """One language on its way from files to words; ``faults`` and ``uses`` gather what is found.

    ``checking``: nobody will render it, so what can have no fault (inlined CSS, the derived text) is spared.
    """

    loop: Loop
    given: Given
    language: str
    files: Version
    checking: bool = False
    library: Library = field(init=False)
    uses: Uses = field(default_factory=Uses)
    printed: set[str] = field(default_factory=set)
    found: list[Fault] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.library = Library(self.loop, self.language)

    @property
    def faults(self) -> list[Fault]:
        """Every fault of the files."""
        return [*self.found, *(fault for file in self.library.files for fault in file.faults)]

    def words(self) -> Words | None:
        """Return what the language says, or None if some part of it cannot be read. See ``faults`` either way."""
        page = self.library.page(self.files.path)
        written = self.library.plain(self.files.text) if self.files.text else None
        if page.file.subject is None or not page.file.body.name:
            return None
        subject = self._line(page, page.file.subject, self.given.subject)
        preheader = self._line(page, page.file.preheader or Part("preheader", "", 1, 1), self.given.preheader)
        text_uses = self._read(written, escape=False) if written else Uses()
        body_uses = self._read(page, escape=True)
        if None in (subject, preheader, text_uses, body_uses) or self.library.files[0].faults:
            return None
        body = self._checked(page)
        if any(fault.code == Code.BROKEN_HTML for fault in page.file.faults):
            return None
        frame = None if body is None or layout.is_document(body) else self._layout()
        if body is None or frame == "":
            return None
        content = layout.Content(body, subject or "", preheader or "", self._footer(self.printed), self.language)
        return self._dressed(content, frame, written, text_uses or Uses())

    def _dressed(self, content: layout.Content, frame: str | None, written: Source | None, uses: Uses) -> Words | None:
        page = layout.dress(content, frame)
        if self.checking and written is None:
            return Words(content.subject, content.preheader, page, "") if self._compiles(page, "") else None
        page = tag_page(page, self.given.query)
        text = self._text(page, written, uses)
        if text is None or not self._compiles(page, text):
            return None
        return Words(content.subject, content.preheader, page if self.checking else inline(page), text)

    def _compiles(self, page: str, text: str) -> bool:
        """Files that are good alone may still be nested too deeply together."""
        try:
            for source, escape in ((page, True), (text, False)):
                sandbox(escape=escape).check(source)
        except TemplateSyntaxError as error:
            self.library.files[0].fault(1, 1, "", Code.SYNTAX, sentence(error), "include less")
            return False
        return True

    def _footer(self, printed: set[str]) -> str:
        if self.loop.class_ != "marketing" or _NO_WAY_OUT in printed:
            return ""
        return layout.standard_footer(self.language)

    def _text(self, page: str, written: Source | None, uses: Uses) -> str | None:
        try:
            if written is None:
                return textpart.text_source(page)
            expanded = self._expanded(written)
            if expanded is None:
                return None
            text = tag_text("".join(piece.source for piece in expanded.pieces), self.given.query).rstrip() + "\n"
            footer = self._footer(uses.printed)
            return text + ("\n" + textpart.text_source(footer) if footer else "")
        except textpart.NotDerivable:
            return ""

    def _line(self, page: Source, part: Part, over: str | None) -> str | None:
        """A subject or preheader, of the file or of the variant; None if it does not parse."""
        if over is not None:
            return over  # read with the action
        read = self._read(Source(page.file, part, ""), escape=False) is not None
        return part.source if read else None

    def _layout(self) -> str:
        """The Jinja source of the layout; empty if it is broken."""
        path = self.library.find(layout.NAME)
        if path is None:
            return layout.shipped()
        source = self.library.plain(path, "layout")
        if self._read(source, escape=True, slots=layout.SLOTS) is None:
            return ""
        expanded = self._expanded(source)
        if expanded is None or source.file.faults:
            return ""
        scanner = Scanner().scan(expanded.pieces)
        self._troubles(scanner, expanded)
        places = [piece for piece in expanded.pieces if piece.kind == "print" and piece.text.strip() == "body"]
        inside = [event for event in scanner.events if event.piece is not None and event.piece.text.strip() == "body"]
        if len(places) != 1 or not inside:
            text = "a layout prints `{{ body }}` once, between its tags"
            line, column = source.file.find(source.part, 1, "{") if len(places) != 1 else (1, 1)
            hint = "write `{{ body }}` where the template's text belongs"
            source.file.fault(line, column, "", Code.BAD_LAYOUT, text, hint)
            return ""
        return "".join(textpart.guard(piece, scanner.guarded) for piece in expanded.pieces)

    def _checked(self, source: Source) -> str | None:
        """The HTML of a source as Jinja, its links guarded; None if it cannot be put together."""
        expanded = self._expanded(source)
        if expanded is None:
            return None
        scanner = Scanner().scan(expanded.pieces)
        self._troubles(scanner, expanded)
        return "".join(textpart.guard(piece, scanner.guarded) for piece in expanded.pieces)

    def _expanded(self, source: Source) -> Expanded | None:
        try:
            return expand(source, self.library)
        except CannotIncludeError as error:
            line, column = source.file.find(source.part, 1, "include")
            source.file.fault(line, column, "", Code.BAD_INCLUDE, error.message, error.hint)
            return None

    def _troubles(self, scanner: Scanner, expanded: Expanded) -> None:
        for trouble in scanner.troubles:
            file, line, column = expanded.place(trouble.offset)
            file.fault(line, column, "", trouble.code, trouble.message, trouble.suggestion)

    def _read(self, source: Source, *, escape: bool, slots: frozenset[str] = frozenset()) -> Uses | None:
        """Note what a source uses and what is wrong in it; None if it does not parse or includes what it cannot."""
        files = (self.library, source) if source.ending else None
        uses = read(source, Reader(self.given.keys, BUILT_IN, files, slots), escape=escape)
        if uses is None:
            return None
        self.uses.names |= uses.names
        self.uses.columns |= uses.columns
        self.uses.required |= uses.required
        if escape:
            self.printed |= uses.printed
        return None if any(problem.code in (Code.SYNTAX, Code.BAD_INCLUDE) for problem in uses.problems) else uses


def read(source: Source, reader: Reader, *, escape: bool) -> Uses | None:
    """Read one source; its problems become faults of its file. None if it does not parse."""
    file, part = source.file, source.part
    path = part.name if part.name in ("subject", "preheader") else ""
    environment = sandbox(escape=escape)
    try:
        uses = reader.read(environment.parse(part.source))
        if not uses.problems:
            environment.check(part.source)
    except TemplateSyntaxError as error:
        word = _QUOTED.findall(error.message or "")
        line, column = file.find(part, error.lineno, word[-1] if word else "{")
        file.fault(line, column, path, Code.SYNTAX, sentence(error), "mend the Jinja")
        return None
    seen: Counter[tuple[str, int, str]] = Counter()
    for problem in uses.problems:
        at = problem.source or source
        key = (at.file.label, problem.line, problem.word)
        line, column = at.file.find(at.part, problem.line, problem.word, seen[key])
        seen[key] += 1
        at.file.fault(line, column, path, problem.code, problem.message, problem.suggestion)
    return uses


def sentence(error: TemplateSyntaxError) -> str:
    """What Jinja says, without a full stop."""
    return (error.message or "this is not Jinja").rstrip(".")
