"""Template files → Blueprint, and everything that can be wrong on the way, with its place."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING

from skene_airflow.errors import LoopError, SkeneError
from skene_airflow.loop import codes
from skene_airflow.loop.actions import EmailAction, InAppAction, SegmentAction
from skene_airflow.loop.conditions import GraphqlCondition
from skene_airflow.message.address import InvalidAddress, one_mailbox
from skene_airflow.message.blueprint import Blueprint, Words
from skene_airflow.message.codes import Code
from skene_airflow.message.columns import uses_of
from skene_airflow.message.compiling import Compiler
from skene_airflow.message.contents import Content, contents
from skene_airflow.message.files import find_template
from skene_airflow.message.languages import DEFAULT
from skene_airflow.message.notice import NoticeCompiler
from skene_airflow.message.utm import query_of
from skene_airflow.message.version import Given, Reading

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from skene_airflow.loop.schema import Loop, Step
    from skene_airflow.message.scope import Uses
    from skene_airflow.nouns import Fault


def compile_blueprint(loop: Loop, step: Step, content: Content | None = None) -> Blueprint:
    """Return the blueprint of a step's content (absent: its first). Raises LoopError with every fault found."""
    blueprint, faults = compile_draft(loop, step, content)
    if faults:
        raise LoopError(faults)
    if blueprint is None:
        raise SkeneError(f"Step {step.id} says nothing.")
    return blueprint


def compile_draft(loop: Loop, step: Step, content: Content | None = None) -> tuple[Blueprint | None, list[Fault]]:
    """Return every fault of a content, and its blueprint if it can be looked at in spite of them.

    What has faults must never be sent: this is for previews.
    """
    chosen = content or next(iter(contents(loop, step)), None)
    if chosen is None:
        return None, []
    compiler = _compiler(loop, step, chosen)
    blueprint = compiler.compile()
    faults = sorted(set(compiler.faults))
    harmless = all(fault.code == Code.HTTP_LINK.value for fault in faults)
    return (blueprint if harmless else None), faults


def check_templates(loop: Loop) -> list[Fault]:
    """Return the faults of the templates of all steps, segments and variants, each once."""
    found: set[Fault] = set()
    for step in loop.steps:
        found.update(_ways(loop, step))
        found.update(_unasked(loop, step))
        seen: list[tuple[object, ...]] = []
        for content in contents(loop, step):
            what = (content.action, content.over, content.part)
            if what not in seen:
                seen.append(what)
                compiler = _compiler(loop, step, content, checking=True)
                compiler.compile()
                found.update(compiler.faults)
    return sorted(found)


def _compiler(loop: Loop, step: Step, content: Content, *, checking: bool = False) -> _MailCompiler | NoticeCompiler:
    made = _MailCompiler if isinstance(content.action, EmailAction) else NoticeCompiler
    return made(loop, step, content, checking=checking)


def _ways(loop: Loop, step: Step) -> Iterator[Fault]:
    """A fault for each segment that wants to leave by another way than its step, or says what that way cannot."""
    for number, segment in enumerate(step.segments if isinstance(step.segments, tuple) else ()):
        where = f"steps[{loop.steps.index(step)}].segments[{number}].action"
        for key in ("type", "provider"):
            wanted = getattr(segment.action, key, None)
            if wanted not in (None, getattr(step.action, key, None)):
                what, hint = f"a segment's {key} is that of its step", "leave it out, or make it a loop of its own"
                yield loop.fault(f"{where}.{key}", codes.VALUE, what, hint)
        if segment.action is not None:
            yield from _foreign(loop, step, segment.action, where)


def _unasked(loop: Loop, step: Step) -> Iterator[Fault]:
    """A fault for each column that the step prints and its GraphQL document does not ask for."""
    if not isinstance(step.condition, GraphqlCondition):
        return
    from skene_airflow.loop.graphql import read  # it imports a parser that few loops need

    known = read(step.condition.query, step.condition.path).columns
    for use in uses_of(loop, step):
        if use.column not in known:
            hint = f"ask for it in the document; it asks for {', '.join(known)}"
            yield use.fault(codes.SQL_COLUMN, f"the query returns no column '{use.column}'", hint)


_NOTICE_ONLY = frozenset(("title", "body", "link"))
_MAIL_ONLY = frozenset(("template", "from_", "reply_to", "utm", "subject", "preheader"))


def _foreign(loop: Loop, step: Step, part: SegmentAction, where: str) -> Iterator[Fault]:
    """A fault for each key of a segment that only the other kind of action has."""
    is_notice = isinstance(step.action, InAppAction)
    kind, foreign = ("in_app", _MAIL_ONLY) if is_notice else ("email", _NOTICE_ONLY)
    places = [(where, part), *((f"{where}.variants.{name}", each) for name, each in (part.variants or {}).items())]
    for path, each in places:
        for name in sorted(each.model_fields_set & foreign):
            key = name.rstrip("_")
            hint = "write title, body and link" if is_notice else "write template, subject and preheader"
            yield loop.fault(f"{path}.{key}", codes.VALUE, f"an action of type {kind} has no '{key}'", hint)


@dataclass(slots=True)
class _MailCompiler(Compiler):
    """A mail: its files read, in every language."""

    def compile(self) -> Blueprint | None:
        """Return the blueprint, or None if it cannot be made; ``faults`` says what is wrong."""
        action = self.content.mail
        sender, reply_to = self._mailbox(action.from_, "from"), self._mailbox(action.reply_to, "reply_to")
        self.personalization(action.personalization)
        given = Given(self.keys, *self._over(), query=self._query())
        versions, faults = find_template(self.loop, self.content.template, self.content.path("template"))
        self.faults += faults
        readings = [Reading(self.loop, given, language, files, self.checking) for language, files in versions.items()]
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
        columns = frozenset().union(*(self.columns(each) for each in [*uses, self.over]))
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
            personalization=dict(self.content.mail.personalization),
            sender=sender,
            reply_to=reply_to,
            columns=tuple(sorted(columns)),
            required=tuple(sorted(certain | self.over.required)),
            timezone=self.timezone,
            languages=languages,
        )

    def _mailbox(self, text: str | None, key: str) -> str | None:
        try:
            return one_mailbox(text) if text else None
        except InvalidAddress:
            hint = "write `name@company.com`, or `Name <name@company.com>`"
            self.fault(self.content.path(key), Code.BAD_SENDER, "this is not one address", hint)
            return None

    def _query(self) -> str:
        utm = self.content.mail.utm
        for name in utm.model_fields_set if utm else ():
            if "{" in str(getattr(utm, name)):
                where = self.content.path(f"utm.{name}")
                self.fault(where, Code.BAD_UTM, "utm parameters are plain text", "write it without `{`")
        return query_of(utm)

    def _over(self) -> tuple[str | None, str | None]:
        """The subject and preheader that a variant or segment puts in place of the template's."""
        texts = (self.content.subject, self.content.preheader)
        for key, text in zip(("subject", "preheader"), texts, strict=True):
            if text is not None:
                self.spoken(text, key)
        return texts
