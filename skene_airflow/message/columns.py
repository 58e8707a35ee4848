"""Where a mail reads columns of the person: in the action's personalization and in its template's files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from jinja2 import TemplateSyntaxError, nodes

from skene_airflow.loop.schema import EmailAction
from skene_airflow.message.environment import sandbox
from skene_airflow.message.files import find_template, label, text_path
from skene_airflow.message.front import Part, TemplateFile, read_file, read_text
from skene_airflow.nouns import Fault

if TYPE_CHECKING:
    from collections.abc import Iterator

    from skene_airflow.loop.schema import Loop, Step


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
    """Every place of a sound step's mail that reads a column."""
    action = step.action
    if not isinstance(action, EmailAction):
        return
    where = f"steps[{loop.steps.index(step)}].action"
    for key, value in action.personalization.items():
        at = loop.fault(f"{where}.personalization.{key}", "", "")
        for column, _ in _read(value) if isinstance(value, str) else ():
            yield Use(column, at.file, at.line, at.column, at.path)
    path, _ = find_template(loop, action.template, f"{where}.template")
    if path is None:
        return
    file = read_file(path, label(loop, path))
    for part in (file.subject, file.preheader, file.body):
        if part is not None:
            yield from _in_part(file, part)
    written = text_path(path)
    if written is not None:
        file = TemplateFile(label(loop, written))
        file.text = read_text(written, file) or ""
        yield from _in_part(file, Part("", file.text, 1, 1))


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
