"""One blueprint, many mails: compiled once, then filled for one recipient at a time."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from jinja2.meta import find_undeclared_variables

from skene_airflow.errors import MissingVariable, SettingsError
from skene_airflow.message import textpart
from skene_airflow.message.address import SUBJECT_CAP, InvalidAddress, clean_line, one_address, one_mailbox
from skene_airflow.message.environment import Program, sandbox
from skene_airflow.message.filters import BUDGET, PERSON
from skene_airflow.message.languages import DEFAULT
from skene_airflow.message.limits import Budget, CannotRender
from skene_airflow.message.links import Signer, unsubscribe_url
from skene_airflow.message.personal import Personal
from skene_airflow.message.printing import Columns, Missing, Person, locale_of, prepare, zone_of
from skene_airflow.nouns import Message

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from skene_airflow.message.blueprint import Blueprint, Words

__all__ = ["CannotRender", "InvalidAddress", "MissingVariable", "Renderer", "Row", "Site"]

NO_SITE = "https://base-url-is-not-set.invalid/"
"""Stands for the unsubscribe link in mail that stays on this machine while no base_url is set."""


@dataclass(frozen=True, slots=True)
class Site:
    """What a deployment puts into its mail. Empty texts mean unset."""

    base_url: str = ""
    postal_address: str = ""
    signer: Signer | None = None
    from_email: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """One delivery: who gets it, and the values of that person. ``as_of`` is what `ago` counts from."""

    delivery_id: int
    loop_id: str
    step_id: str
    user_key: str
    entry_key: str
    address: str = field(repr=False)
    user: Mapping[str, Any] = field(repr=False)
    timezone: str | None = None
    locale: str | None = None
    segment: str = "all"
    variant: str | None = None
    as_of: datetime | None = None


class _Programs:
    """What one language says, compiled."""

    __slots__ = ("_gaps", "_text", "html", "subject")

    def __init__(self, words: Words, fixed: Mapping[str, Any]) -> None:
        self.subject = Program(words.subject, escape=False, fixed=fixed)
        self.html = Program(words.html, escape=True, fixed=fixed)
        self._text = Program(words.text, escape=False, fixed=fixed) if words.text else None
        # Branches not taken leave gaps behind; a text without branches was tidied when it was made.
        self._gaps = "{%" in words.text

    def plain(self, values: dict[str, Any], html: str) -> str:
        """Return the text part of one mail."""
        if self._text is None:
            return textpart.text_of(html)
        text = self._text.run(values)
        return textpart.tidy(text) if self._gaps else text.rstrip() + "\n"


class Filling:
    """The values of one person as a blueprint's sources see them."""

    def __init__(self, blueprint: Blueprint) -> None:
        self._blueprint = blueprint
        self._personal = Personal(blueprint.personalization, _names(blueprint))
        self._fixed = {
            "loop": Columns({"id": blueprint.loop_id, "topic": blueprint.topic}, "loop"),
            "step": Columns({"id": blueprint.step_id}, "step"),
        }

    def of(self, row: Row) -> dict[str, Any]:
        """Everything in scope for this person."""
        zone = zone_of(row.timezone, self._blueprint.timezone)
        found = row.user
        user = Columns(
            {name: prepare(found.get(name), f"user.{name}", zone) for name in self._blueprint.columns}, "user"
        )
        values: dict[str, Any] = {
            "user": user,
            PERSON: Person(zone, locale_of(row.locale), row.as_of),
            BUDGET: Budget(),
        }
        values |= self._personal.fill(values)
        values |= self._fixed
        values["segment"] = row.segment
        values["variant"] = row.variant if row.variant is not None else Missing(name="variant")
        return values


class Renderer:
    """Fills one blueprint. Raises SettingsError when made if the site's addresses cannot stand in a mail."""

    def __init__(self, blueprint: Blueprint, site: Site) -> None:
        self._blueprint, self._site = blueprint, site
        self._sender = _sender(blueprint.sender or site.from_email)
        _check_base_url(site.base_url)
        self._reply_to = one_mailbox(blueprint.reply_to) if blueprint.reply_to else None
        fixed = {"_postal_address": site.postal_address, "_links": bool(site.base_url and site.signer)}
        self._languages = {tag: _Programs(words, fixed) for tag, words in blueprint.languages.items()}
        self._languages[DEFAULT] = _Programs(blueprint.words, fixed)
        self._filling = Filling(blueprint)

    def render(self, row: Row) -> Message:
        """Return the mail to one person.

        Raises MissingVariable (CannotRender is one) if it cannot be made from the person's values, and
        InvalidAddress if the address is not exactly one. Both leave everybody else alone.
        """
        to = one_address(row.address)
        url = self._unsubscribe_url(row)
        values = self._filling.of(row) | {"unsubscribe_url": url or NO_SITE}
        programs = self._languages[self._blueprint.language_for(row.locale)]
        subject = clean_line(programs.subject.run(values), SUBJECT_CAP)
        if not subject:
            msg = "the subject is empty"
            raise CannotRender(msg)
        html = programs.html.run(values)
        return Message(
            delivery_id=row.delivery_id,
            message_key=message_key(row),
            to=to,
            sender=self._sender,
            subject=subject,
            html=html,
            text=programs.plain(values, html),
            reply_to=self._reply_to,
            headers=_headers(url),
            tags=_tags(row),
        )

    def _unsubscribe_url(self, row: Row) -> str:
        if not (self._site.base_url and self._site.signer and self._blueprint.class_ == "marketing"):
            return ""
        return unsubscribe_url(self._site.base_url, self._site.signer.token(row.delivery_id, self._blueprint.topic))


def message_key(row: Row) -> str:
    """Return the stable hexadecimal name of a delivery, made of what it is and never of an address."""
    what = f"{row.loop_id}|{row.step_id}|{row.user_key}|{row.entry_key}"
    return hashlib.sha256(what.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _sender(text: str) -> str:
    try:
        return one_mailbox(text) if text else ""
    except InvalidAddress:
        msg = "from_email is not one address; write `name@company.com` or `Name <name@company.com>`"
        raise SettingsError(msg) from None


def _check_base_url(url: str) -> None:
    if url and not url.startswith(("https://", "http://")):
        msg = "[skene] base_url begins with https://; links in mail lead nowhere without it"
        raise SettingsError(msg)


def _names(blueprint: Blueprint) -> frozenset[str]:
    parse = sandbox(escape=False).parse
    return frozenset().union(*(find_undeclared_variables(parse(source)) for source in blueprint.sources))


def _headers(url: str) -> tuple[tuple[str, str], ...]:
    if not url:
        return ()
    return (("List-Unsubscribe", f"<{url}>"), ("List-Unsubscribe-Post", "List-Unsubscribe=One-Click"))


def _tags(row: Row) -> tuple[tuple[str, str], ...]:
    return (("sk_delivery", str(row.delivery_id)), ("sk_loop", row.loop_id), ("sk_step", row.step_id))
