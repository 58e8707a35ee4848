"""Languages of templates: tags such as `pt-BR`, compared in small letters, and which of them serves whom."""

from __future__ import annotations

from typing import TYPE_CHECKING

from babel import Locale, UnknownLocaleError

if TYPE_CHECKING:
    from collections.abc import Iterator

DEFAULT = ""
"""The language of `<name>.html`: whoever has no file of their own language reads it."""


def chain(tag: str | None) -> Iterator[str]:
    """The languages that serve a language tag, the closest first: `pt-BR` → `pt-br`, `pt`. Never the default."""
    rest = normal((tag or "").partition(".")[0].partition("@")[0].strip())
    while rest:
        yield rest
        rest = rest.rpartition("-")[0]


def normal(tag: str) -> str:
    """Return a tag in the spelling that tags are compared in: `pt_BR` → `pt-br`."""
    return tag.replace("_", "-").lower()


def is_language(text: str) -> bool:
    """Tell whether a text is the tag of a language that exists."""
    try:
        Locale.parse(text.replace("-", "_"))
    except (ValueError, UnknownLocaleError, TypeError):
        return False
    return True


def proper(tag: str) -> str:
    """Return a good tag as people and browsers spell it: `pt-br` → `pt-BR`."""
    return str(Locale.parse(tag, sep="-")).replace("_", "-")
