"""The closed list of filters and tests that templates have."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time
from decimal import Decimal
from functools import lru_cache
from html import unescape
from typing import TYPE_CHECKING, Any, Literal, cast

from babel import Locale, dates, numbers
from jinja2 import Undefined, pass_context, pass_eval_context
from jinja2 import filters as jinja_filters
from jinja2 import tests as jinja_tests
from markupsafe import Markup, escape

from skene_airflow.message.limits import ITEMS_CAP, OUTPUT_CAP, Budget, CannotRender
from skene_airflow.message.links import safe_link, with_query

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from jinja2.nodes import EvalContext
    from jinja2.runtime import Context

    from skene_airflow.message.printing import Person

PERSON = "_person"
"""The context's key for the Person; no template can name it."""
GUARD_LINK = "_link"
"""The filter put around a value that begins a link; no template can name it."""
GUARD_STYLE = "_style"
"""The filter put around a value inside `style="…"`; no template can name it."""
TAG_LINK = "_utm"
"""The filter put around a link that gets utm parameters; no template can name it."""
BUDGET = "_budget"
"""The context's key for what the mail's `for` may cost; no template can name it."""
GUARD_ITEMS = "_items"
"""The filter put around what a `for` walks over; no template can name it."""

_PLAIN = (
    "abs", "capitalize", "count", "d", "default", "first", "float", "int", "last", "length", "list", "lower",
    "max", "min", "reverse", "sort", "sum", "title", "trim", "truncate", "unique", "upper", "urlencode",
)  # fmt: skip
_TESTS = (
    "defined", "undefined", "string", "number", "integer", "float", "boolean", "true", "false", "mapping", "sequence",
    "even", "odd", "divisibleby", "in", "eq", "equalto", "==", "ne", "!=", "lt", "lessthan", "<", "le", "<=",
    "gt", "greaterthan", ">", "ge", ">=",
)  # fmt: skip

_MOST_DIGITS = 20
_SHARED = 16_384
_STYLE = re.compile(r"[\w#%.,+ -]*")
_CURRENCY = re.compile(r"[A-Za-z]{3}")

Width = Literal["short", "medium", "long", "full"]


@pass_context
def print_date(context: Context, value: Any, width: str = "medium") -> str:
    """Print a date in the person's zone and language; width short, medium, long, full or a CLDR pattern."""
    person = _person(context)
    return _date_text(_day(value, person), width, person.locale)


@pass_context
def print_datetime(context: Context, value: Any, width: str = "medium") -> str:
    """Print a date with its time in the person's zone and language."""
    person = _person(context)
    moment = _moment(value, person)
    return dates.format_datetime(moment, cast("Width", width), tzinfo=person.zone, locale=person.locale)


@pass_context
def print_time(context: Context, value: Any, width: str = "short") -> str:
    """Print the time of day in the person's zone and language."""
    person = _person(context)
    if isinstance(_present(value), time):
        return dates.format_time(value, cast("Width", width), locale=person.locale)
    moment = _moment(value, person)
    return dates.format_time(moment, cast("Width", width), tzinfo=person.zone, locale=person.locale)


@pass_context
def print_ago(context: Context, value: Any) -> str:
    """Print how long ago (or ahead) a moment is, in the person's language."""
    person = _person(context)
    now = person.now or datetime.now(UTC)
    delta = _moment(value, person) - now
    return dates.format_timedelta(delta, add_direction=True, locale=person.locale)


@pass_context
def print_number(context: Context, value: Any, digits: int | None = None) -> str:
    """Print a number with the separators of the person's language; ``digits`` after the point if given."""
    places = None if digits is None else min(max(int(digits), 0), _MOST_DIGITS)
    return _number_text(str(_number(value)), places, _person(context).locale)


@pass_context
def print_money(context: Context, value: Any, currency: str) -> str:
    """Print an amount of a currency (`EUR`) as the person's language writes it."""
    code = str(currency)
    if not _CURRENCY.fullmatch(code):
        msg = "a currency that is no code such as EUR"
        raise CannotRender(msg)
    return _money_text(str(_number(value)), code.upper(), _person(context).locale)


def replace(value: Any, old: str, new: str) -> str:
    """Replace a piece of text everywhere, as long as the result stays short enough for a mail."""
    text, old, new = str(value), str(old), str(new)
    if len(text) + (text.count(old) if old else len(text) + 1) * max(0, len(new) - len(old)) > OUTPUT_CAP:
        msg = "a replaced value is too long"
        raise CannotRender(msg)
    return text.replace(old, new)


@pass_eval_context
def join(eval_ctx: EvalContext, value: Any, between: str = "") -> str:
    """Join a list's items, as long as the result stays short enough for a mail."""
    found = list(value)
    if len(found) > ITEMS_CAP or len(found) * len(str(between)) > OUTPUT_CAP:
        msg = "a joined list is too long"
        raise CannotRender(msg)
    return cast("str", jinja_filters.do_join(eval_ctx, found, between))


def round_number(value: Any, digits: int = 0, method: Literal["common", "ceil", "floor"] = "common") -> float:
    """Round a number, as Jinja does, to a sensible count of digits."""
    return jinja_filters.do_round(_present(value), min(max(int(digits), -_MOST_DIGITS), _MOST_DIGITS), method)


def link(value: Any) -> str:
    """Let a link through if it is https or mailto."""
    text = str(value)
    if not safe_link(text):
        msg = "a link that is not https or mailto"
        raise CannotRender(msg)
    return text


def style(value: Any) -> str:
    """Let a value into a `style` if it can be no more than a colour, a length or a word."""
    text = str(value)
    if not _STYLE.fullmatch(text):
        msg = "a value in a `style` that is no colour, length or word"
        raise CannotRender(msg)
    return text


@pass_context
def items(context: Context, value: Any) -> list[Any]:
    """Return what a `for` walks over, if it is not too much for one mail."""
    budget: Budget = context.parent.get(BUDGET) or Budget()
    return budget.walk(value)


def tag_link(value: Any, query: str) -> str:
    """Add utm parameters to a finished link; what is HTML already stays HTML."""
    if isinstance(value, Markup):
        return Markup(escape(with_query(unescape(value), query)))  # noqa: S704  # escaped right here
    return with_query(str(value), query)


def is_none(value: Any) -> bool:
    """Tell whether a value is NULL: `is none`."""
    return value is None or isinstance(value, Undefined)


# Babel reads its rules anew for each value, which costs more than all else in a mail; many people share a date, and
# a count or a price, in their language. Numbers are looked up by their text: 1.0 equals 1 and is printed otherwise.
@lru_cache(maxsize=_SHARED)
def _date_text(day: date, width: str, locale: Locale) -> str:
    return dates.format_date(day, cast("Width", width), locale=locale)


@lru_cache(maxsize=_SHARED)
def _number_text(number: str, places: int | None, locale: Locale) -> str:
    if places is None:
        return numbers.format_decimal(number, locale=locale, decimal_quantization=False)
    return numbers.format_decimal(number, "#,##0." + "0" * places if places else "#,##0", locale=locale)


@lru_cache(maxsize=_SHARED)
def _money_text(number: str, currency: str, locale: Locale) -> str:
    return numbers.format_currency(number, currency, locale=locale)


def _person(context: Context) -> Person:
    return cast("Person", context.parent[PERSON])


def _present(value: Any) -> Any:
    if isinstance(value, Undefined):
        str(value)  # raises MissingVariable with the value's own name
    return value


def _moment(value: Any, person: Person) -> datetime:
    value = _present(value)
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    if isinstance(value, datetime):
        return value if value.tzinfo else value.replace(tzinfo=person.zone)
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day, tzinfo=person.zone)
    msg = "a value that is no date"
    raise CannotRender(msg)


def _day(value: Any, person: Person) -> date:
    value = _present(value)
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    if isinstance(value, datetime):
        return value.astimezone(person.zone).date() if value.tzinfo else value.date()
    if isinstance(value, date):
        return value
    msg = "a value that is no date"
    raise CannotRender(msg)


def _number(value: Any) -> Decimal | float | int:
    value = _present(value)
    if isinstance(value, str):
        value = Decimal(value)
    if isinstance(value, (int, float, Decimal)) and not isinstance(value, bool):
        return value
    msg = "a value that is no number"
    raise CannotRender(msg)


def _chosen(known: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Callable[..., Any]]:
    return {name: known[name] for name in names}


FILTERS: dict[str, Callable[..., Any]] = {
    **_chosen(jinja_filters.FILTERS, _PLAIN),
    "join": join,
    "replace": replace,
    "round": round_number,
    "date": print_date,
    "datetime": print_datetime,
    "time": print_time,
    "ago": print_ago,
    "number": print_number,
    "money": print_money,
}
GUARDS: dict[str, Callable[..., Any]] = {
    GUARD_LINK: link,
    GUARD_STYLE: style,
    GUARD_ITEMS: items,
    TAG_LINK: tag_link,
}
"""Filters that are put around values while a template is compiled; no template can name them."""
TESTS: dict[str, Callable[..., Any]] = {**_chosen(jinja_tests.TESTS, _TESTS), "none": is_none}
