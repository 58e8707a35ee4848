"""A message in the app: three plain texts. The app shows them as text, so nothing in them is HTML or escaped."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from skene_airflow.message.address import SUBJECT_CAP, clean_line
from skene_airflow.message.blueprint import Blueprint
from skene_airflow.message.codes import Code
from skene_airflow.message.compiling import Compiler
from skene_airflow.message.contents import KEYS
from skene_airflow.message.environment import Program
from skene_airflow.message.limits import CannotRender
from skene_airflow.message.render import Filling, Row
from skene_airflow.message.scope import BUILT_IN
from skene_airflow.nouns import Notice

_SCOPE: Final = BUILT_IN - {"unsubscribe_url"}
# https, or a path of the app: `//host` and `/\\host` are other sites to a browser.
_LINK: Final = re.compile(r"https://[^/?#\\\s@]+([/?#].*)?|/([^/\\].*)?", re.DOTALL)
_WHERE_TO: Final = "write https://…, or a path of the app such as /reports"
_LONGEST_LINK: Final = 2_000
# Whatever may stand in a URL as it is; `%` too, since what is encoded already stays so.
_SAFE: Final = "%:/?#[]@!$&'()*+,;=~"


@dataclass(slots=True)
class NoticeCompiler(Compiler):
    """The title, body and link that the loop itself says."""

    def compile(self) -> Blueprint | None:
        """Return the blueprint; ``faults`` says what is wrong."""
        action = self.content.action
        self.personalization(action.personalization)
        title, body, link = self.content.notice
        for key, text in zip(KEYS, (title, body, link), strict=True):
            if text:
                self.spoken(text, key, _SCOPE)
        self._check_link(link)
        return Blueprint(
            loop_id=self.loop.id,
            step_id=self.step.id,
            template="",
            class_=self.loop.class_,
            topic=self.loop.topic,
            subject=title,
            preheader="",
            html="",
            text=body,
            personalization=dict(action.personalization),
            columns=tuple(sorted(self.columns(self.over))),
            required=tuple(sorted(self.over.required)),
            timezone=self.timezone,
            link=link,
            in_app=True,
        )

    def _check_link(self, link: str | None) -> None:
        """What begins with words of the loop's own can be judged without a person."""
        words, opening, _ = (link or "").strip().partition("{")
        if not words or (opening and "https://".startswith(words)):
            return
        if not _LINK.fullmatch(words + ("x" if opening else "")):
            what = "this link leads neither to https nor into the app"
            self.fault(self.content.path("link"), Code.BAD_LINK, what, _WHERE_TO)


class NoticeRenderer:
    """Fills one blueprint of a message in the app."""

    def __init__(self, blueprint: Blueprint) -> None:
        self._filling = Filling(blueprint)
        self._title = Program(blueprint.subject, escape=False)
        self._body = Program(blueprint.text, escape=False)
        self._link = Program(blueprint.link, escape=False) if blueprint.link else None

    def render(self, row: Row) -> Notice:
        """Return the message to one person. Raises MissingVariable (CannotRender is one) if it cannot be made."""
        values = self._filling.of(row)
        title = clean_line(self._title.run(values), SUBJECT_CAP)
        if not title:
            msg = "the title is empty"
            raise CannotRender(msg)
        link = _leading_somewhere(self._link.run(values)) if self._link is not None else None
        return Notice(row.delivery_id, title, self._body.run(values).strip(), link)


def _leading_somewhere(text: str) -> str:
    link = quote(clean_line(text), safe=_SAFE)
    if len(link) > _LONGEST_LINK or not _LINK.fullmatch(link):
        msg = "the link leads neither to https nor into the app"
        raise CannotRender(msg)
    return link
