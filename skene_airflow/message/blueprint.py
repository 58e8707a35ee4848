"""A compiled template: all that rendering needs once the loops folder is out of reach."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

Scalar = str | int | float | bool | None

FORMAT = 1


@dataclass(frozen=True, slots=True)
class Blueprint:
    """One step's mail, ready to be rendered for anyone.

    ``subject``, ``preheader``, ``html`` and ``text`` are Jinja sources in which layout, footer and Markdown
    are resolved already; an empty ``text`` means that it is made from each rendered HTML. ``columns``: every
    column of the person that may be read. ``required``: those whose absence certainly means no mail.
    ``timezone`` counts where the person has none. ``preheader`` stands in ``html`` already.
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

    def to_json(self) -> str:
        """Return the one spelling of this blueprint: sorted keys, no spaces."""
        values: dict[str, Any] = {item.name: getattr(self, item.name) for item in fields(self)}
        values["personalization"] = dict(self.personalization)
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
            return cls(**values | {"columns": tuple(values["columns"]), "required": tuple(values["required"])})
        except (KeyError, TypeError) as error:
            msg = "this is not a blueprint of this version"
            raise ValueError(msg) from error

    @property
    def sha256(self) -> str:
        """The hexadecimal digest of ``to_json``: the name of this version of the mail."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()
