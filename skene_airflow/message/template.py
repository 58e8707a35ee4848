"""Template files → Blueprint, and everything that can be wrong on the way, with its place."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import reduce
from typing import TYPE_CHECKING

from jinja2 import TemplateSyntaxError

from skene_airflow.errors import LoopError, SkeneError
from skene_airflow.loop import codes
from skene_airflow.message.address import InvalidAddress, one_mailbox
from skene_airflow.message.blueprint import Blueprint, Words
from skene_airflow.message.codes import Code
from skene_airflow.message.contents import Content, contents
from skene_airflow.message.environment import sandbox
from skene_airflow.message.files import find_template
from skene_airflow.message.languages import DEFAULT
from skene_airflow.message.scope import BUILT_IN, Reader, Uses
from skene_airflow.message.utm import query_of
from skene_airflow.message.version import Given, Reading, sentence

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from skene_airflow.loop.schema import Loop, Step
    from skene_airflow.nouns import Fault

_KEY = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_WORDS = frozenset({"and", "or", "not", "if", "else", "in", "is", "true", "false", "none", "True", "False", "None"})


def compile_blueprint(loop: Loop, step: Step, content: Content | None = None) -> Blueprint:
    """Return the blueprint of a step's content (absent: its first). Raises LoopError with every fault found."""
    blueprint, faults = compile_draft(loop, step, content)
    if faults:
        raise LoopError(faults)
    if blueprint is None:
        raise SkeneError(f"Step {step.id} sends no email.")
    return blueprint


def compile_draft(loop: Loop, step: Step, content: Content | None = None) -> tuple[Blueprint | None, list[Fault]]:
    """Return every fault of a content, and its blueprint if it can be looked at in spite of them.

    What has faults must never be sent: this is for previews.
    """
    chosen = content or next(iter(contents(loop, step)), None)
    if chosen is None:
        return None, []
    compiler = _Compiler(loop, step, chosen)
    blueprint = compiler.compile()
    faults = sorted(set(compiler.faults))
    harmless = all(fault.code == Code.HTTP_LINK.value for fault in faults)
    return (blueprint if harmless else None), faults


def check_templates(loop: Loop) -> list[Fault]:
    """Return the faults of the templates of all steps, segments and variants, each once."""
    found: set[Fault] = set()
    for step in loop.steps:
        found.update(_ways(loop, step))
        seen: list[tuple[object, ...]] = []
        for content in contents(loop, step):
            what = (content.action, content.over, content.part)
            if what not in seen:
                seen.append(what)
                found.update(compile_draft(loop, step, content)[1])
    return sorted(found)


def _ways(loop: Loop, step: Step) -> Iterator[Fault]:
    """A fault for each segment that wants to leave by another way than its step."""
    for number, segment in enumerate(step.segments if isinstance(step.segments, tuple) else ()):
        for key in ("type", "provider"):
            wanted = getattr(segment.action, key, None)
            if wanted not in (None, getattr(step.action, key, None)):
                where = f"steps[{loop.steps.index(step)}].segments[{number}].action.{key}"
                what, hint = f"a segment's {key} is that of its step", "leave it out, or make it a loop of its own"
                yield loop.fault(where, codes.VALUE, what, hint)


@dataclass(slots=True)
class _Compiler:
    """One content on its way from files to a blueprint; ``faults`` gathers what is wrong."""

    loop: Loop
    step: Step
    content: Content
    faults: list[Fault] = field(default_factory=list)
    keys: dict[str, frozenset[str]] = field(default_factory=dict)
    key_columns: dict[str, frozenset[str]] = field(default_factory=dict)
    over: Uses = field(default_factory=Uses)

    def compile(self) -> Blueprint | None:
        """Return the blueprint, or None if it cannot be made; ``faults`` says what is wrong."""
        action = self.content.action
        sender, reply_to = self._mailbox(action.from_, "from"), self._mailbox(action.reply_to, "reply_to")
        self._personalization(action.personalization)
        given = Given(self.keys, *self._over(), query=self._query())
        versions, faults = find_template(self.loop, self.content.template, self.content.path("template"))
        self.faults += faults
        readings = [Reading(self.loop, given, language, files) for language, files in versions.items()]
        words = {reading.language: reading.words() for reading in readings}
        self.faults += [fault for reading in readings for fault in reading.faults]
        good = {language: found for language, found in words.items() if found is not None}
        if DEFAULT not in good or len(good) < len(words):
            return None
        default = good.pop(DEFAULT)
        return self._blueprint(default, good, [reading.uses for reading in readings], sender, reply_to)

    def _blueprint(
        self, words: Words, languages: Mapping[str, Words], uses: list[Uses], sender: str | None, reply_to: str | None
    ) -> Blueprint:
        columns = frozenset().union(*(self._columns(each) for each in [*uses, self.over]))
        certain = reduce(frozenset[str].intersection, (frozenset(each.required) for each in uses))
        return Blueprint(
            loop_id=self.loop.id,
            step_id=self.step.id,
            template=self.content.template,
            class_=self.loop.class_,
            topic=self.loop.topic,
            subject=words.subject,
            preheader=words.preheader,
            html=words.html,
            text=words.text,
            personalization=dict(self.content.action.personalization),
            sender=sender,
            reply_to=reply_to,
            columns=tuple(sorted(columns)),
            required=tuple(sorted(certain | self.over.required)),
            timezone=_timezone(self.step),
            languages=languages,
        )

    def _mailbox(self, text: str | None, key: str) -> str | None:
        try:
            return one_mailbox(text) if text else None
        except InvalidAddress:
            hint = "write `name@company.com`, or `Name <name@company.com>`"
            self._fault(self.content.path(key), Code.BAD_SENDER, "this is not one address", hint)
            return None

    def _fault(self, where: str, code: Code, message: str, hint: str = "") -> None:
        self.faults.append(self.loop.fault(where, code.value, message, hint))

    def _query(self) -> str:
        utm = self.content.action.utm
        for name in utm.model_fields_set if utm else ():
            if "{" in str(getattr(utm, name)):
                where = self.content.path(f"utm.{name}")
                self._fault(where, Code.BAD_UTM, "utm parameters are plain text", "write it without `{`")
        return query_of(utm)

    def _over(self) -> tuple[str | None, str | None]:
        """The subject and preheader that a variant or segment puts in place of the template's."""
        texts = (self.content.subject, self.content.preheader)
        for key, text in zip(("subject", "preheader"), texts, strict=True):
            if text is not None:
                uses = self._value(text, self.content.path(key), Reader(self.keys, BUILT_IN))
                self.over.names |= uses.names
                self.over.columns |= uses.columns
                self.over.required |= uses.required
        return texts

    def _personalization(self, values: Mapping[str, object]) -> None:
        for key, value in values.items():
            where = self.content.path(f"personalization.{key}")
            if not _KEY.fullmatch(key) or key in BUILT_IN or key in _WORDS:
                hint = "begin with a letter, use letters, digits and `_`, and none of " + ", ".join(sorted(BUILT_IN))
                self._fault(where, Code.BAD_KEY, f"'{key}' cannot be a name in a template", hint)
                continue
            uses = self._value(value, where, Reader({}, frozenset({"user"}))) if isinstance(value, str) else Uses()
            self.keys[key], self.key_columns[key] = frozenset(uses.required), frozenset(uses.columns)

    def _value(self, value: str, where: str, reader: Reader) -> Uses:
        environment = sandbox(escape=False)
        try:
            uses = reader.read(environment.parse(value))
            if not uses.problems:
                environment.from_string(value)
        except TemplateSyntaxError as error:
            self._fault(where, Code.SYNTAX, sentence(error), "mend the Jinja")
            return Uses()
        for problem in uses.problems:
            self._fault(where, problem.code, problem.message, problem.suggestion)
        return uses

    def _columns(self, uses: Uses) -> frozenset[str]:
        """Return the columns that the mail can read: a person's other values need not be kept."""
        used = (self.key_columns[name] for name in uses.names if name in self.key_columns)
        return frozenset(uses.columns).union(*used)


def _timezone(step: Step) -> str:
    zone = getattr(step.trigger, "timezone", None)
    return zone if isinstance(zone, str) and zone != "user" else "UTC"
