"""Where a mail reads columns of the person: in the action's personalization and in its template's files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from jinja2 import TemplateSyntaxError, nodes

from skene_airflow.loop.actions import EmailAction
from skene_airflow.message.contents import KEYS, Content, contents
from skene_airflow.message.environment import sandbox
from skene_airflow.message.files import find_template
from skene_airflow.message.version import Given, Reading
from skene_airflow.nouns import Fault

if TYPE_CHECKING:
    from collections.abc import Iterator

    from skene_airflow.loop.schema import Loop, Step
    from skene_airflow.message.front import Part, TemplateFile


@dataclass(frozen=True, slots=True)
class Use:
    """One place that reads a column of the person."""

    column: str
    file: str
    line: int
    place: int
    path: str = ""

    def fault(self, code: str, message: str, suggestion: str) -> Fault:
        """A fault at this place."""
        return Fault(self.file, self.line, self.place, self.path, code, message, suggestion)


def uses_of(loop: Loop, step: Step) -> Iterator[Use]:
    """Every place of a sound step's mail that reads a column, in every segment, variant and language."""
    seen: set[Use] = set()
    for content in contents(loop, step):
        for use in _uses(loop, content):
            if use not in seen:
                seen.add(use)
                yield use


def _uses(loop: Loop, content: Content) -> Iterator[Use]:
    written: dict[str, object] = dict(zip(KEYS, content.notice, strict=True))
    if isinstance(content.action, EmailAction):
        written = {"subject": content.subject, "preheader": content.preheader}
    written |= {f"personalization.{key}": value for key, value in content.action.personalization.items()}
    for key, value in written.items():
        at = loop.fault(content.path(key), "", "")
        for column, _ in _read(value) if isinstance(value, str) else ():
            yield Use(column, at.file, at.line, at.column, at.path)
    if not isinstance(content.action, EmailAction):
        return
    versions, _ = find_template(loop, content.template, content.path("template"))
    for language, files in versions.items():
        reading = Reading(loop, Given({}), language, files, checking=True)
        reading.words()
        for file, part in reading.library.parts():
            yield from _in_part(file, part)


def _in_part(file: TemplateFile, part: Part) -> Iterator[Use]:
    seen: dict[tuple[int, str], int] = {}
    for column, line in _read(part.source):
        nth = seen.get((line, column), 0)
        seen[line, column] = nth + 1
        yield Use(column, file.label, *file.find(part, line, f"user.{column}", nth))


def _read(source: str) -> Iterator[tuple[str, int]]:
    """The columns that a Jinja source reads, with the line of each within it."""
    try:
        tree = sandbox(escape=False).parse(source)
    except TemplateSyntaxError:
        return
    for node in tree.find_all(nodes.Expr):
        match node:
            case nodes.Getattr(node=nodes.Name(name="user"), attr=str() as column):
                yield column, node.lineno
            case nodes.Getitem(node=nodes.Name(name="user"), arg=nodes.Const(value=str() as column)):
                yield column, node.lineno
