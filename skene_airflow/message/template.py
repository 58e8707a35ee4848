"""Template file → Blueprint, and everything that can be wrong on the way, with its place."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from jinja2 import TemplateSyntaxError

from skene_airflow.errors import LoopError
from skene_airflow.loop.schema import EmailAction
from skene_airflow.message import layout, textpart
from skene_airflow.message.address import InvalidAddress, one_mailbox
from skene_airflow.message.blueprint import Blueprint
from skene_airflow.message.codes import Code
from skene_airflow.message.environment import sandbox
from skene_airflow.message.files import find_template, label, text_path
from skene_airflow.message.front import Part, TemplateFile, read_file, read_text
from skene_airflow.message.markdown import to_html
from skene_airflow.message.markup import Scanner
from skene_airflow.message.scope import BUILT_IN, Reader, Uses
from skene_airflow.message.tags import split

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from skene_airflow.loop.schema import Loop, Step
    from skene_airflow.nouns import Fault

_KEY = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_QUOTED = re.compile(r"'([^']+)'")
_WORDS = frozenset({"and", "or", "not", "if", "else", "in", "is", "true", "false", "none", "True", "False", "None"})


def compile_blueprint(loop: Loop, step: Step) -> Blueprint:
    """Return the blueprint of a step's mail. Raises LoopError with every fault of its template and values."""
    compiled = _Compiler(loop, step).compile()
    if isinstance(compiled, Blueprint):
        return compiled
    raise LoopError(compiled)


def check_templates(loop: Loop) -> list[Fault]:
    """Return the faults of the templates of all steps, each once."""
    found: set[Fault] = set()
    for step in loop.steps:
        compiled = _Compiler(loop, step).compile()
        if not isinstance(compiled, Blueprint):
            found.update(compiled)
    return sorted(found)


@dataclass(slots=True)
class _Compiler:
    """One step's mail on its way from files to a blueprint; ``faults`` gathers what is wrong."""

    loop: Loop
    step: Step
    faults: list[Fault] = field(default_factory=list)
    keys: dict[str, frozenset[str]] = field(default_factory=dict)
    key_columns: dict[str, frozenset[str]] = field(default_factory=dict)
    uses: Uses = field(default_factory=Uses)

    def compile(self) -> Blueprint | list[Fault]:
        """Return the blueprint, or every fault."""
        action = self.step.action
        if not isinstance(action, EmailAction):
            return [self.loop.fault(self._path("type"), Code.NOT_SUPPORTED.value, "this action is not supported yet")]
        sender, reply_to = self._mailbox(action.from_, "from"), self._mailbox(action.reply_to, "reply_to")
        self._personalization(action.personalization)
        path, faults = find_template(self.loop, action.template, self._path("template"))
        self.faults += faults
        if path is None:
            return self.faults
        file = read_file(path, label(self.loop, path))
        parts = self._parts(file, markdown=path.suffix == ".md")
        written = text_path(path)
        text = self._written_text(written) if written else None
        self.faults += file.faults
        if self.faults or parts is None:
            return self.faults
        subject, preheader, body = parts
        footer = self._footer()
        return Blueprint(
            loop_id=self.loop.id,
            step_id=self.step.id,
            template=action.template,
            class_=self.loop.class_,
            topic=self.loop.topic,
            subject=subject,
            preheader=preheader,
            html=layout.dress(body, subject=subject, preheader=preheader, footer=footer),
            text=_text(body, text, footer),
            personalization=dict(action.personalization),
            sender=sender,
            reply_to=reply_to,
            columns=tuple(sorted(self._columns())),
            required=tuple(sorted(self.uses.required)),
            timezone=_timezone(self.step),
        )

    def _path(self, key: str) -> str:
        return f"steps[{self.loop.steps.index(self.step)}].action.{key}"

    def _mailbox(self, text: str | None, key: str) -> str | None:
        try:
            return one_mailbox(text) if text else None
        except InvalidAddress:
            hint = "write `name@company.com`, or `Name <name@company.com>`"
            self.faults.append(self.loop.fault(self._path(key), Code.BAD_SENDER.value, "this is not one address", hint))
            return None

    def _personalization(self, values: Mapping[str, object]) -> None:
        for key, value in values.items():
            where = self._path(f"personalization.{key}")
            if not _KEY.fullmatch(key) or key in BUILT_IN or key in _WORDS:
                text = f"'{key}' cannot be a name in a template"
                hint = "begin with a letter, use letters, digits and `_`, and none of " + ", ".join(sorted(BUILT_IN))
                self.faults.append(self.loop.fault(where, Code.BAD_KEY.value, text, hint))
                continue
            uses = self._value(value, where) if isinstance(value, str) else Uses()
            self.keys[key], self.key_columns[key] = frozenset(uses.required), frozenset(uses.columns)

    def _value(self, value: str, where: str) -> Uses:
        environment = sandbox(escape=False)
        try:
            uses = Reader({}, frozenset({"user"})).read(environment.parse(value))
            if not uses.problems:
                environment.from_string(value)
        except TemplateSyntaxError as error:
            self.faults.append(self.loop.fault(where, Code.SYNTAX.value, _sentence(error), "mend the Jinja"))
            return Uses()
        for problem in uses.problems:
            self.faults.append(self.loop.fault(where, problem.code.value, problem.message, problem.suggestion))
        return uses

    def _parts(self, file: TemplateFile, *, markdown: bool) -> tuple[str, str, str] | None:
        """Return subject, preheader and body as sources, read and checked; None if one of them is no Jinja."""
        if file.subject is None or not file.body.name:
            return None
        good = self._read(file, file.subject, escape=False)
        good &= file.preheader is None or self._read(file, file.preheader, escape=False)
        if not self._read(file, file.body, escape=True) or not good:
            return None
        source = to_html(file.body.source) if markdown else file.body.source
        body = self._guarded(file, source, markdown=markdown)
        return file.subject.source, file.preheader.source if file.preheader else "", body

    def _written_text(self, path: Path) -> str | None:
        file = TemplateFile(label(self.loop, path))
        text = read_text(path, file)
        if text is not None:
            file.text = text
            self._read(file, Part("", text, 1, 1), escape=False)
        self.faults += file.faults
        return text

    def _read(self, file: TemplateFile, part: Part, *, escape: bool) -> bool:
        """Note what a part uses and what is wrong in it; False if it does not parse."""
        path = part.name if part.name != "body" else ""
        environment = sandbox(escape=escape)
        try:
            tree = environment.parse(part.source)
            uses = Reader(self.keys).read(tree)
            if not uses.problems:
                environment.from_string(part.source)
        except TemplateSyntaxError as error:
            word = _QUOTED.findall(error.message or "")
            line, column = file.find(part, error.lineno, word[-1] if word else "{")
            file.fault(line, column, path, Code.SYNTAX, _sentence(error), "mend the Jinja")
            return False
        seen: Counter[tuple[int, str]] = Counter()
        for problem in uses.problems:
            nth = seen[problem.line, problem.word]
            seen[problem.line, problem.word] += 1
            line, column = file.find(part, problem.line, problem.word, nth)
            file.fault(line, column, path, problem.code, problem.message, problem.suggestion)
        self.uses.names |= uses.names
        self.uses.columns |= uses.columns
        self.uses.required |= uses.required
        if part.name == "body":
            self.uses.printed |= uses.printed
        return True

    def _guarded(self, file: TemplateFile, source: str, *, markdown: bool) -> str:
        pieces = split(source)
        scanner = Scanner().scan(pieces)
        for trouble in scanner.troubles:
            # Markdown's HTML has other lines than the file: the trouble is told for the whole body.
            place = (file.body.line, 1) if markdown else file.place(file.body, trouble.offset)
            file.fault(*place, "", trouble.code, trouble.message, trouble.suggestion)
        return "".join(textpart.guard(piece, scanner.guarded) for piece in pieces)

    def _footer(self) -> str:
        if self.loop.class_ != "marketing" or "unsubscribe_url" in self.uses.printed:
            return ""
        return layout.standard_footer()

    def _columns(self) -> frozenset[str]:
        """Return the columns that the mail can read: a person's other values need not be kept."""
        used = (self.key_columns[name] for name in self.uses.names if name in self.key_columns)
        return frozenset(self.uses.columns).union(*used)


def _text(body: str, written: str | None, footer: str) -> str:
    try:
        if written is None:
            return textpart.text_source(body + footer)
        return written.rstrip() + "\n" + ("\n" + textpart.text_source(footer) if footer else "")
    except textpart.NotDerivable:
        return ""


def _sentence(error: TemplateSyntaxError) -> str:
    return (error.message or "this is not Jinja").rstrip(".")


def _timezone(step: Step) -> str:
    zone = getattr(step.trigger, "timezone", None)
    return zone if isinstance(zone, str) and zone != "user" else "UTC"
