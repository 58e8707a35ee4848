"""A compiled template: all that rendering needs once the loops folder is out of reach."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any

from skene_airflow.message.languages import DEFAULT, chain

if TYPE_CHECKING:
    from collections.abc import Mapping

Scalar = str | int | float | bool | None

FORMAT = 1


@dataclass(frozen=True, slots=True)
class Words:
    """What one language says: Jinja sources in which layout, includes, footer and Markdown are resolved already.

    ``preheader`` stands in ``html`` already. An empty ``text`` means that it is made from each rendered HTML.
    """

    subject: str
    preheader: str
    html: str
    text: str


@dataclass(frozen=True, slots=True)
class Blueprint:
    """One content of a step, ready to be rendered for anyone.

    Of a message in the app (``in_app``) ``subject`` is the title, ``text`` the body, and there is a ``link``.
    ``subject``, ``preheader``, ``html`` and ``text`` are the Words of the default language, ``languages`` those of
    the others by their tag in small letters (`pt`, `pt-br`). ``columns``: every column of the person that may be
    read. ``required``: those whose absence certainly means no mail, in any language. ``timezone`` counts where the
    person has none.
    """

    loop_id: str
    step_id: str
    template: str
    class_: str
    topic: str
    subject: str
    preheader: str
    html: str
    text: str
    personalization: Mapping[str, Scalar] = field(default_factory=dict)
    sender: str | None = None
    reply_to: str | None = None
    columns: tuple[str, ...] = ()
    required: tuple[str, ...] = ()
    timezone: str = "UTC"
    languages: Mapping[str, Words] = field(default_factory=dict)
    link: str | None = None
    in_app: bool = False

    @property
    def sources(self) -> tuple[str, ...]:
        """Every Jinja source in it, of every language."""
        every = (self.words, *self.languages.values())
        return (*(part for words in every for part in (words.subject, words.html, words.text)), self.link or "")

    @property
    def words(self) -> Words:
        """What the default language says."""
        return Words(self.subject, self.preheader, self.html, self.text)

    def language_for(self, locale: str | None) -> str:
        """The language that serves a person's locale: the closest one there is, else the default (empty)."""
        return next((tag for tag in chain(locale) if tag in self.languages), DEFAULT) if self.languages else DEFAULT

    def to_json(self) -> str:
        """Return the one spelling of this blueprint: sorted keys, no spaces."""
        values: dict[str, Any] = {item.name: getattr(self, item.name) for item in fields(self)}
        values["personalization"] = dict(self.personalization)
        values["languages"] = {tag: asdict(words) for tag, words in self.languages.items()}
        values["format"] = FORMAT
        return json.dumps(values, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> Blueprint:
        """Read what ``to_json`` wrote. Raises ValueError for anything else."""
        values = json.loads(text)
        if not isinstance(values, dict) or values.pop("format", None) != FORMAT:
            msg = "this is not a blueprint of this version"
            raise ValueError(msg)
        try:
            languages = {tag: Words(**words) for tag, words in values.get("languages", {}).items()}
            lists = {name: tuple(values[name]) for name in ("columns", "required")}
            return cls(**values | lists | {"languages": languages})
        except (KeyError, TypeError, AttributeError) as error:
            msg = "this is not a blueprint of this version"
            raise ValueError(msg) from error

    @property
    def sha256(self) -> str:
        """The hexadecimal digest of ``to_json``: the name of this version of the mail."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()
