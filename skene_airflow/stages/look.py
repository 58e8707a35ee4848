"""Looking before sending: one content of a loop, rendered for somebody, as it would arrive. Claims nothing."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from html import escape
from typing import TYPE_CHECKING, Any

import psycopg

from skene_airflow.audience.changes import changes_of
from skene_airflow.audience.condition import Question, asking, bare, describe, refused
from skene_airflow.audience.staging import Wanted, person, staging
from skene_airflow.channels.mime import mime
from skene_airflow.errors import LoopError, SettingsError
from skene_airflow.loop.schema import QueryCondition
from skene_airflow.message.contents import ALL, Content, contents
from skene_airflow.message.links import Signer
from skene_airflow.message.notice import NoticeRenderer
from skene_airflow.message.render import Renderer, Row, Site
from skene_airflow.message.review import Remark, review
from skene_airflow.message.sample import sample_row
from skene_airflow.message.template import compile_draft
from skene_airflow.message.values import revive
from skene_airflow.nouns import Message, Notice

if TYPE_CHECKING:
    from collections.abc import Callable

    from skene_airflow.loop.schema import Loop, Step
    from skene_airflow.message.blueprint import Blueprint
    from skene_airflow.nouns import Fault
    from skene_airflow.settings import Settings

NO_SENDER = "from-email-is-not-set@sender.invalid"
"""Stands for the From address in mail that is only looked at, while none is set."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What somebody wants to see. None means the first there is; ``user`` a key of a real person."""

    step: str | None = None
    segment: str | None = None
    variant: str | None = None
    locale: str | None = None
    user: str | None = None


@dataclass(frozen=True, slots=True)
class Look:
    """One mail or message as it would arrive, and what there is to say about it."""

    step: Step
    content: Content
    language: str
    message: Message
    eml: bytes
    remarks: tuple[Remark, ...]
    faults: tuple[Fault, ...] = ()
    languages: tuple[str, ...] = ()
    notice: Notice | None = None
    """The message in the app, if it is no mail; ``message`` then shows it as the preview does."""


def look(
    loop: Loop,
    wish: Wish,
    site: Site,
    source: Callable[[], psycopg.Connection[Any]] | None = None,
    *,
    draft: bool = False,
) -> Look:
    """Render what is wished for a sample person, or with ``source`` for the condition's first or the wished person.

    A ``draft`` may have links that only a preview shows. Raises LoopError, SettingsError for what is not there,
    QueryError, and MissingVariable or InvalidAddress where no mail can be made for that person.
    """
    step, content = choose(loop, wish)
    blueprint, faults = compile_draft(loop, step, content)
    if blueprint is None or (faults and not draft):
        raise LoopError(faults)
    row = sample_row(blueprint) if source is None else _real_row(loop, step, blueprint, source, wish.user)
    locale = wish.locale if wish.locale is not None else row.locale
    row = replace(row, segment=content.segment, variant=content.variant, locale=locale)
    if blueprint.in_app:
        return _noticed(step, content, NoticeRenderer(blueprint).render(row), faults)
    message = Renderer(blueprint, site).render(row)
    remarks = review(message, marketing=loop.class_ == "marketing")
    sent = message if message.sender else replace(message, sender=NO_SENDER)
    return Look(
        step,
        content,
        blueprint.language_for(locale),
        message,
        mime(sent, row.as_of or datetime.now(UTC)),
        tuple(remarks),
        tuple(faults),
        tuple(blueprint.languages),
    )


def _noticed(step: Step, content: Content, notice: Notice, faults: list[Fault]) -> Look:
    parts = [notice.body, notice.link or ""]
    shown = "".join(f"<p>{escape(part)}</p>".replace("\n", "<br>") for part in parts if part)
    message = Message(
        delivery_id=notice.delivery_id,
        message_key="",
        to="the app",
        sender="",
        subject=notice.title,
        html=f"<!doctype html><meta charset=utf-8><h3>{escape(notice.title)}</h3>{shown}",
        text="\n\n".join(part for part in parts if part),
    )
    return Look(step, content, "", message, b"", (), tuple(faults), notice=notice)


def choose(loop: Loop, wish: Wish) -> tuple[Step, Content]:
    """Return the step and content that are wished for. Raises SettingsError, saying what there is instead."""
    steps = {step.id: step for step in loop.steps if contents(loop, step)}
    if not steps:
        raise SettingsError(f"the loop '{loop.id}' sends no mail")
    step = steps[_pick("step", wish.step, list(steps))]
    found = contents(loop, step)
    segment = _pick("segment", wish.segment, list(dict.fromkeys(each.segment for each in found)))
    found = tuple(each for each in found if each.segment == segment)
    variants = [each.variant for each in found if each.variant is not None]
    if not variants and wish.variant is not None:
        raise SettingsError(f"step '{step.id}' has no variants there, so none is named '{wish.variant}'")
    variant = _pick("variant", wish.variant, variants) if variants else None
    return step, next(each for each in found if each.variant == variant)


def site_of(settings: Settings, from_email: str = "") -> Site:
    """What a deployment puts into its mail; ``from_email`` is the connection's own."""
    signer = Signer(settings.secret_keys) if settings.secret_keys else None
    return Site(settings.base_url, settings.postal_address, signer, from_email or settings.from_email)


def _pick(what: str, wished: str | None, known: list[str]) -> str:
    if wished is None:
        return known[0]
    if wished not in known:
        raise SettingsError(f"there is no {what} '{wished}'; there: {', '.join(known)}")
    return wished


def _real_row(
    loop: Loop, step: Step, blueprint: Blueprint, source: Callable[[], psycopg.Connection[Any]], key: str | None
) -> Row:
    asked = loop.condition_of(step)
    if not isinstance(asked, QueryCondition):
        raise SettingsError(f"step '{step.id}' has no query to find people with: look at it with sample values")
    now = datetime.now(UTC).replace(microsecond=0)
    question = Question(asked.query, now, blueprint.timezone, asked.timeout, loop.audiences, changes=changes_of(step))
    wanted = Wanted(loop.user, not blueprint.in_app, blueprint.columns)
    with closing(source()) as conn, asking(conn, question):
        types = describe(conn, bare(conn, question), question)
        query = person(staging(conn, question, types, wanted, ALL), key)
        try:
            found = conn.execute(query).fetchone()
        except psycopg.Error as error:
            raise refused(error.sqlstate, question) from None
    if found is None:
        who = "the query returns nobody" if key is None else "the query does not return this person"
        raise SettingsError(f"{who} at this moment: look at the mail with sample values")
    user_key, address, timezone, locale, values = found
    return Row(
        delivery_id=0,
        loop_id=loop.id,
        step_id=step.id,
        user_key=user_key or "",
        entry_key="",
        address=address or "",
        user=revive(values or {}, types),
        timezone=timezone,
        locale=locale,
        as_of=now,
    )
