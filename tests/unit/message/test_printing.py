"""How values look: in the person's zone and language, and never as nothing."""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

import pytest

from skene_airflow.errors import MissingVariable
from tests.unit.message.conftest import Desk

NAME = {"name": '"{{ user.name }}"'}
AT = datetime(2026, 11, 13, 23, 30, tzinfo=UTC)


def body(desk: Desk, source: str, user: dict[str, Any] | None = None, **rest: Any) -> str:
    """Render a body alone: a transactional page without layout or footer."""
    page = f"<html><body>{source}</body></html>"
    html = desk.render(page, user, extra="class: transactional\n", **rest).html
    return html.removeprefix("<html><body>").removesuffix("</body></html>")


PRINTED = [
    ("{{ user.v }}", AT, "2026-11-14"),
    ("{{ 'on ' ~ user.v }}", AT, "on 2026-11-14"),
    ("{{ user.v | upper }}", AT, "2026-11-14"),
    ("{{ user.v }}", AT.replace(tzinfo=None), "2026-11-13"),
    ("{{ user.v }}", date(2026, 1, 2), "2026-01-02"),
    ("{{ user.v }}", time(9, 30), "09:30:00"),
    ("{{ user.v | date }}", AT, "14.11.2026"),
    ("{{ user.v | date('long') }}", AT, "14. November 2026"),
    ("{{ user.v | date('EEEE') }}", AT, "Samstag"),
    ("{{ user.v | time }}", AT, "00:30"),
    ("{{ user.v | datetime('short') }}", AT, "14.11.26, 00:30"),
    ("{{ user.v | ago }}", AT, "vor 3 Tagen"),
    ("{{ user.v | date }}", "2026-11-14", "14.11.2026"),
    ("{{ user.v }}", 12345, "12345"),
    ("{{ user.v }}", 3.0, "3"),
    ("{{ user.v }}", 2.5, "2.5"),
    ("{{ user.v }}", Decimal("5.50"), "5.50"),
    ("{{ user.v }}", Decimal("1E+3"), "1000"),
    ("{{ user.v | number }}", 1234567.891, "1.234.567,891"),
    ("{{ user.v | number(1) }}", Decimal("1234.56"), "1.234,6"),
    ("{{ user.v | number(0) }}", 1234.5, "1.234"),
    ("{{ user.v | money('EUR') }}", Decimal("1234.5"), "1.234,50\xa0€"),
    ("{{ user.v | replace('a', 'b') | title }}", "ada", "Bdb"),
    ("{{ user.v }}", True, "true"),
    ("{{ user.v.city or 'nowhere' }}", {"city": None}, "nowhere"),
    ("{{ user.v.items }} {{ user.v.get }}", {"items": "a", "get": "b"}, "a b"),
    ("{% for x in user.v %}{{ loop.index }}{{ x }}{% endfor %}", ["a", "b"], "1a2b"),
    ("{{ user.v | join('+') }}", [1, 2], "1+2"),
    ("{{ user.v + 1 }}{{ user.v * 2 }}{{ user.v % 4 }}", 7, "8143"),
    ("{{ user.v ~ '!' }}", "hi", "hi!"),
]


@pytest.mark.parametrize(("source", "value", "printed"), PRINTED)
def test_printing(desk: Desk, source: str, value: Any, printed: str) -> None:
    now = datetime(2026, 11, 17, 1, 0, tzinfo=UTC)
    html = body(desk, source, {"v": value}, timezone="Europe/Berlin", locale="de-DE", as_of=now)
    assert html == printed


@pytest.mark.parametrize(
    ("zone", "printed"), [(None, "2026-11-13"), ("Mars/Base", "2026-11-13"), ("Asia/Tokyo", "2026-11-14")]
)
def test_zones(desk: Desk, zone: str | None, printed: str) -> None:
    assert body(desk, "{{ user.v }}", {"v": AT}, timezone=zone) == printed


@pytest.mark.parametrize(
    ("locale", "printed"),
    [
        (None, "1,234.5"),
        ("de", "1.234,5"),
        ("de_DE.UTF-8", "1.234,5"),
        ("xx", "1,234.5"),
        ("../etc", "1,234.5"),
        ("", "1,234.5"),
        ("pt-BR", "1.234,5"),
        ("de-ZZ-what", "1.234,5"),
        ("\x00", "1,234.5"),
        ("_" * 9, "1,234.5"),
    ],
)
def test_locales(desk: Desk, locale: str | None, printed: str) -> None:
    assert body(desk, "{{ user.v | number }}", {"v": 1234.5}, locale=locale) == printed


MISSING = [None, float("nan"), float("inf"), Decimal("NaN"), Decimal("-Infinity")]


@pytest.mark.parametrize("value", MISSING)
@pytest.mark.parametrize(
    "source",
    [
        "Hi {{ name }}",
        "{{ user.name }}",
        "{{ 'Hi ' ~ user.name }}",
        "{{ 'Hi ' + user.name }}",
        "{{ user.name | upper }}",
        "{{ user.name | date }}",
        "{{ user.name | number }}",
        "{{ user.name | money('EUR') }}",
        "{{ user.name | replace('a','b') }}",
        "{{ user.name | length }}",
        "{% for x in user.name %}{% endfor %}",
        "{{ user.name + 1 }}",
        "{{ user.name | int }}",
        "{{ user.name | join }}",
        "{{ greeting }}",
        "{{ [user.name] | join }}",
        "{{ user.name.first }}",
        "{{ user.name | ago }}",
        "{{ user.name > 3 }}",
        "{{ user.name | trim }}",
        "{{ [user.name] }}",
        '<a href="{{ user.name }}">x</a>',
        "{{ 'x' in user.name }}",
        "{{ user.name | urlencode }}",
        "{{ user.name | round }}",
        "{{ -user.name }}",
    ],
)
def test_nothing_is_never_printed(desk: Desk, source: str, value: Any) -> None:
    values = {**NAME, "greeting": '"Dear {{ user.name }}!"'}
    with pytest.raises(MissingVariable) as caught:
        desk.render(source, {"name": value}, personalization=values)
    assert "name" in caught.value.name


@pytest.mark.parametrize("value", MISSING)
@pytest.mark.parametrize(
    ("source", "printed"),
    [
        ("{{ name or 'there' }}", "there"),
        ("{{ user.name | default('you') }}", "you"),
        ("{{ user.name | d('you') }}", "you"),
        ("{% if user.name %}a{% else %}b{% endif %}", "b"),
        ("{% if user.name is none %}a{% endif %}", "a"),
        ("{% if user.name is not defined %}a{% endif %}", "a"),
        ("{{ 'a' if user.name == 'x' else 'b' }}", "b"),
        ("{{ greeting or 'Hello' }}", "Hello"),
        ("{{ user.name.first or 'x' }}", "x"),
        ("{{ rescued }}", "you"),
    ],
)
def test_what_is_missing_can_be_replaced(desk: Desk, source: str, printed: str, value: Any) -> None:
    values = {**NAME, "greeting": '"Dear {{ user.name }}!"', "rescued": "\"{{ user.name or 'you' }}\""}
    assert body(desk, source, {"name": value}, personalization=values) == printed


def test_a_value_that_is_not_printed_may_be_missing(desk: Desk) -> None:
    values = {"unused": '"{{ user.gone | upper }}"', "fixed": "null"}
    assert body(desk, "hi", {}, personalization=values) == "hi"
    with pytest.raises(MissingVariable, match="'fixed' is missing"):
        body(desk, "{{ fixed }}", {}, personalization=values)
    with pytest.raises(MissingVariable, match="'variant' is missing"):
        body(desk, "{{ variant }}")


def test_values_keep_their_type(desk: Desk) -> None:
    values = {
        "n": '"{{ user.n }}"',
        "d": '" {{ user.d }} "',
        "s": '"{{ user.n }}!"',
        "five": "5",
        "list": '"{{ user.l }}"',
    }
    user = {"n": 2, "d": AT, "l": [1, 2]}
    source = "{{ n + five }}|{{ d | date('yyyy') }}|{{ s }}|{% for x in list %}{{ x }}{% endfor %}"
    assert body(desk, source, user, personalization=values) == "7|2026|2!|12"
