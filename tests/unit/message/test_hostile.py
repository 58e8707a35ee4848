"""Names and templates that mean harm: each ends as a fault, as one person passed over, or as harmless text."""

from __future__ import annotations

from datetime import UTC, datetime
from email import message_from_bytes
from email.policy import default
from html.parser import HTMLParser
from typing import Any

import pytest

from skene_airflow.channels.mime import mime
from skene_airflow.errors import LoopError, MissingVariable
from tests.unit.message.conftest import Desk

LONG = "x" * 400_000
MANY = list(range(1000))
AT = datetime(2026, 11, 14, 12, tzinfo=UTC)

COSTS: list[tuple[str, dict[str, Any]]] = [
    ("{{ user.x | number }}", {"x": "1e999999999"}),
    ("{{ user.x | number(2) }}", {"x": "1e999999"}),
    ("{{ user.x | money('EUR') }}", {"x": "1e99999999"}),
    ("{{ user.x | money(user.y) }}", {"x": 5, "y": LONG}),
    ("{{ user.x | money(user.y) }}", {"x": 5, "y": "<script>"}),
    ("{{ user.x | date(user.y) }}", {"x": "2026-01-01", "y": "G" * 100_000}),
    ("{{ user.x | replace('x', user.x) }}", {"x": LONG}),
    ("{{ user.x ~ user.x ~ user.x }}", {"x": LONG}),
    ("{{ user.l | join(user.x) }}", {"l": MANY, "x": LONG}),
    ("{{ user.x | urlencode | urlencode | urlencode }}", {"x": "é" * 100_000}),
    ("{{ user.x * 999999999 }}", {"x": "a"}),
    ("{{ user.x % user.y }}", {"x": "%999999999d", "y": 5}),
    ("{% for i in user.l %}{{ user.x }}{% endfor %}", {"l": MANY, "x": LONG}),
    ("{% for i in user.l %}{% for j in user.l %}{% endfor %}{% endfor %}", {"l": MANY}),
    (
        "{% for i in user.l %}{% if (user.x | upper | lower | title | capitalize) == 'q' %}a{% endif %}{% endfor %}",
        {"l": MANY, "x": LONG},
    ),
    ("{% for i in user.l %}a{% endfor %}", {"l": list(range(1001))}),
]


@pytest.mark.parametrize(("body", "user"), COSTS)
def test_what_costs_too_much_passes_over_that_person(desk: Desk, body: str, user: dict[str, Any]) -> None:
    with pytest.raises(MissingVariable):
        desk.render(body, user)


PLACES = [
    "<a href='{{ user.x }}'>a</a>",
    "<p style='background:url({{ user.x }})'>a</p>",
    "<p style='{{ user.x }}'>a</p>",
    "<img src='{{ user.x }}' alt=''>",
]
LINKS = [
    "javascript:alert(1)", " javascript:alert(1)", "java\tscript:alert(1)", "JAVASCRIPT:alert(1)", "data:text/html,x",
    "vbscript:x", "file:///etc/passwd", "http://a.example", "//a.example", "https:a.example", "\x01javascript:x",
    "https://a.example/\u202egro", "https://a.example/\nx", "tel:1", "",
    "position:fixed;background:url(https://a.example)", "red;}",
]  # fmt: skip


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("value", LINKS)
def test_values_that_no_link_or_style_can_hold(desk: Desk, place: str, value: str) -> None:
    if "style" in place and not value:
        return
    with pytest.raises(MissingVariable):
        desk.render(place, {"x": value})


@pytest.mark.parametrize("value", ["#1d4ed8", "red", "12px", "50%", "rgb", "1.5em"])
def test_colours_and_lengths_are_styles(desk: Desk, value: str) -> None:
    assert f"color:{value}" in desk.render("<b style='color:{{ user.x }}'>a</b>", {"x": value}).html


SOURCES = [
    ("{{" + "(" * 3000 + "1" + ")" * 3000 + "}}", "SK310"),
    ("{{" + "-" * 5000 + "1 }}", "SK310"),
    ("{% if user.x %}" * 500 + "{% endif %}" * 500, "SK310"),
    ("<div>" * 20_000, "SK318"),
    ("<b><i>" * 20_000, "SK318"),
    ("{{ user.x }}" * 3000, "SK304"),
    ("<meta http-equiv=refresh content='0;url={{ user.x }}'>", "SK317"),
    ("<a href='https://{{ user.x }}'>a</a>", "SK316"),
    ("<a href='mailto:{{ user.x }}'>a</a>", "SK316"),
    ("<a href='https://a.example\n.evil'>x</a>", "SK316"),
    ("<svg><a xlink:href='javascript:x'>x</a></svg>", "SK316"),
    ("<object data='javascript:x'></object>", "SK316"),
    ("<link rel=stylesheet href='file:///etc/passwd'>", "SK316"),
    ("<a href='http://a.example'>x</a>", "SK326"),
    ("<a href='ftp://a.example'>x</a>", "SK316"),
    ("{{ user.x.__class__ }}{{ cycler }}", "SK311"),
    ("{{ lipsum() }}", "SK313"),
    ("{{ [].append(1) }}", "SK313"),
    ("{{ (1,)|map(attribute='x')|list }}", "SK314"),
    ("{% set x = self %}", "SK311"),
]


@pytest.mark.parametrize(("body", "code"), SOURCES, ids=[source[:30] for source, _ in SOURCES])
def test_hostile_sources_end_as_one_line_faults(desk: Desk, body: str, code: str) -> None:
    found = desk.faults(body)
    assert code in [fault.code for fault in found]
    assert all("\n" not in str(fault) and len(str(fault)) < 400 for fault in found)


@pytest.mark.parametrize("source", ["{{ user['__class__'] }}", "{{ user.x['__class__'] }}", "{{ user.x.__init__ }}"])
def test_nothing_of_python_can_be_reached(desk: Desk, source: str) -> None:
    with pytest.raises((MissingVariable, LoopError)):
        desk.render(source, {"x": {"a": 1}})


NAMES = [
    "<script>alert(1)</script>", "'\"><img src=x onerror=alert(1)>", "{{ 7 * 7 }}", "{% include '/etc/passwd' %}",
    "Ada\r\nBcc: eve@example.com", "Ada\nContent-Type: text/html", "Ada\x00\x1b[31m", "\u202eevil\u202c",
    "=?utf-8?q?x?=", "A" * 5000, "ада", "👩🏽‍💻", "a\u2028b", "\ud800", "Ada, Eve <eve@example.com>", "&lt;b&gt;",
    "]]>-->", "#{x}${x}%s%(x)s",
]  # fmt: skip


class Tags(HTMLParser):
    """What a browser takes for elements and links."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.handlers: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.handlers += [name for name, _ in attrs if name.startswith("on")]


@pytest.mark.parametrize("name", NAMES)
def test_a_hostile_name_is_only_a_name(desk: Desk, name: str) -> None:
    body = "<!-- {{ user.name }} --><p title='{{ user.name }}'>{{ user.name }}</p>"
    subject = "For {{ user.name }}"
    plain = Tags(desk.render(body, {"name": "Ada"}, subject=subject).html)
    message = desk.render(body, {"name": name}, subject=subject)
    page = Tags(message.html)
    assert (page.tags, page.handlers) == (plain.tags, [])
    parsed = message_from_bytes(mime(message, AT), policy=default)
    assert set(parsed.keys()) == {
        "From", "To", "Subject", "Date", "Message-ID", "List-Unsubscribe", "List-Unsubscribe-Post", "MIME-Version",
        "Content-Type",
    }  # fmt: skip
    assert [str(box) for box in parsed["To"].addresses] == ["ada@example.com"]
    assert len(parsed["Subject"]) <= 255
    assert not parsed.defects
    assert "49" not in parsed["Subject"]
