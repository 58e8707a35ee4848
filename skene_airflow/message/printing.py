"""How values are printed: in the person's time zone and locale, and never as nothing."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import Any, cast
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from babel import Locale, UnknownLocaleError
from jinja2 import Undefined

from skene_airflow.errors import MissingVariable
from skene_airflow.message.limits import INTEGER_BITS, CannotRender, capped
from skene_airflow.message.values import is_missing

# What no mail body can hold: C0 controls except tab and line breaks, and lone surrogates.
_UNPRINTABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]+")
_WHOLE = 1e15


class Missing(Undefined):
    """A value that is not there. It may be tested and replaced; whoever prints it gets MissingVariable."""

    __slots__ = ()

    def __init__(self, hint: str | None = None, obj: Any = None, name: str | None = None, exc: Any = None) -> None:
        del exc, obj
        super().__init__(hint=hint, name=name, exc=cast("Any", MissingVariable))

    @property
    def _undefined_message(self) -> str:
        return str(self._undefined_name or self._undefined_hint or "a value")

    def _fail(self, *_: object) -> Any:
        raise MissingVariable(self._undefined_message)

    __str__ = __iter__ = __len__ = __contains__ = _fail
    __round__ = __abs__ = __reversed__ = __format__ = _fail


class Columns(dict[str, Any]):
    """A namespace of the template: its attributes are its items, and what it lacks is Missing."""

    __slots__ = ("title",)

    def __init__(self, values: dict[str, Any], title: str) -> None:
        super().__init__(values)
        self.title = title

    def __missing__(self, key: str) -> Missing:
        return Missing(name=f"{self.title}.{key}")


class Stamp(datetime):
    """A timestamp in the person's zone; as text it is its date."""

    def __str__(self) -> str:
        return f"{self.year:04d}-{self.month:02d}-{self.day:02d}"


@dataclass(frozen=True, slots=True)
class Person:
    """What printing needs to know of the recipient, and the moment that `ago` counts from."""

    zone: ZoneInfo
    locale: Locale
    now: datetime | None


def prepare(value: Any, name: str, zone: ZoneInfo) -> Any:
    """Return a person's value as templates see it: missing values named, timestamps in the zone."""
    kind = type(value)
    if kind is str:
        return _text(value)
    if kind is int or kind is bool:
        return _integer(value)
    if is_missing(value):
        return Missing(name=name)
    if isinstance(value, datetime):
        return _stamp(value, zone)
    if isinstance(value, dict):
        return Columns({str(key): _part(item, name, ".", key, zone) for key, item in value.items()}, name)
    if isinstance(value, (list, tuple)):
        return [_part(item, name, "", f"[{index}]", zone) for index, item in enumerate(value)]
    if isinstance(value, (float, Decimal, date, time, timedelta)):
        return value
    return _text(str(value))


def _part(value: Any, name: str, dot: str, key: object, zone: ZoneInfo) -> Any:
    """Prepare a part of a value; its name is only made for what may need one."""
    if type(value) is str:
        return _text(value)
    return value if type(value) is bool else prepare(value, f"{name}{dot}{key}", zone)


def finish(value: Any) -> Any:
    """Return what is printed for a value. Raises MissingVariable for what would print as nothing."""
    kind = type(value)
    if kind is str or kind is int:
        return value
    if isinstance(value, Undefined):
        return str(value)
    if is_missing(value):
        msg = "a value"
        raise MissingVariable(msg)
    if kind is bool:
        return "true" if value else "false"
    if kind is float:
        return int(value) if value.is_integer() and abs(value) < _WHOLE else value
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, (dict, list, tuple)):
        return capped(json.dumps(value, ensure_ascii=False, default=_json))
    return value


def finish_line(value: Any) -> Any:
    """Print like ``finish``, but without line breaks: a value cannot look like a paragraph of its own."""
    value = finish(value)
    if type(value) is str and not value.isprintable():
        return " ".join(value.split())
    return value


@lru_cache(maxsize=1024)
def zone_of(name: str | None, fallback: str) -> ZoneInfo:
    """Return the named time zone, or the fallback, or UTC."""
    for candidate in (name, fallback):
        try:
            if candidate:
                return ZoneInfo(candidate)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            continue
    return ZoneInfo("UTC")


@lru_cache(maxsize=1024)
def locale_of(name: str | None) -> Locale:
    """Return the locale of a language tag (`de`, `pt-BR`, `en_US.UTF-8`); English if it is unknown."""
    tag = (name or "").partition(".")[0].partition("@")[0].replace("-", "_").strip()
    while tag:
        try:
            return Locale.parse(tag)
        except (ValueError, UnknownLocaleError, TypeError):
            tag = tag.rpartition("_")[0]
    return Locale("en")


def _json(value: Any) -> Any:
    if isinstance(value, Undefined):
        return str(value)
    printed = finish(value)
    return printed if isinstance(printed, int) else str(printed)


def _text(value: str) -> str:
    if value.isascii() and value.isprintable():
        return value
    return _UNPRINTABLE.sub("", value)


def _integer(value: int) -> int:
    if value.bit_length() > INTEGER_BITS:
        msg = "a number is too large"
        raise CannotRender(msg)
    return value


def _stamp(value: datetime, zone: ZoneInfo) -> Any:
    try:
        local = value.astimezone(zone) if value.tzinfo else value
    except (OverflowError, ValueError):
        local = value.astimezone(UTC)
    return Stamp(
        local.year, local.month, local.day, local.hour, local.minute, local.second, local.microsecond,
        local.tzinfo, fold=local.fold,
    )  # fmt: skip
