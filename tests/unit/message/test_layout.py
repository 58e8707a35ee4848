"""The frame around a mail: shipped or the user's own; its CSS stands in the elements."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest

from skene_airflow.message.inline import inline
from skene_airflow.message.layout import shipped
from skene_airflow.message.render import Renderer
from skene_airflow.message.template import check_templates, compile_blueprint, compile_draft
from tests.unit.message.conftest import SITE, Desk, person

OWN = """\
<!doctype html>
<html lang="{{ lang }}"><head><title>{{ subject }}</title><style>p { color: #123456 }</style></head>
<body>{{ preheader }}<h1>{{ user.company }}</h1>{{ body }}<hr>{{ footer }}</body></html>
"""


class Styles(HTMLParser):
    """The styles of a page's elements, by their id."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: dict[str, str] = {}
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.found[values.get("id") or tag] = values.get("style") or ""


def test_a_layout_of_ones_own_takes_the_place_of_the_shipped_one(desk: Desk) -> None:
    desk.write("_layout.html", OWN)
    desk.write("mail.html", "---\nsubject: A & B for {{ user.name }}\npreheader: <New>\n---\n<p>Hi</p>")
    loop = desk.loop()
    blueprint = compile_blueprint(loop, loop.steps[0])
    assert blueprint.required == ("company", "name")
    message = Renderer(blueprint, SITE).render(person({"name": "<Ada>", "company": "Acme"}))
    assert "<title>A &amp; B for &lt;Ada&gt;</title>" in message.html
    assert "&lt;New&gt;" in message.html
    assert '<p style="color: #123456;">Hi</p>' in message.html
    assert message.html.count("Unsubscribe</a>") == 1
    assert message.html.index("<hr>") < message.html.index("Unsubscribe</a>") < message.html.index("</body>")
    assert "sk-card" not in message.html
    assert message.text.startswith("Acme\n\nHi\n\n----\n\nUnsubscribe <https://")


def test_what_a_layout_does_not_place_is_placed_for_it(desk: Desk) -> None:
    desk.write("_layout.html", "<html><body class='x'>{{ body }}</body></html>")
    desk.write("mail.html", "---\nsubject: x\npreheader: Soon\n---\n<p>Hi</p>")
    loop = desk.loop()
    html = Renderer(compile_blueprint(loop, loop.steps[0]), SITE).render(person({})).html
    assert html.index("<body class='x'>") < html.index("Soon") < html.index("Hi") < html.index("Unsubscribe</a>")
    assert html.index("Unsubscribe</a>") < html.index("</body>")


def test_a_layout_with_a_way_to_say_no_gets_no_second_one(desk: Desk) -> None:
    desk.write("_layout.html", "<html><body>{{ body }}<a href='{{ unsubscribe_url }}'>No more</a> {{ postal_address }}")
    message = desk.render("x")
    assert "Unsubscribe" not in message.html
    assert message.html.endswith("No more</a> Acme, 1 Main Road")
    assert "No more <https://" in message.text


def test_a_text_part_by_hand_gets_a_way_to_say_no_of_its_own(desk: Desk) -> None:
    desk.write("mail.txt", "Hi")
    assert "Unsubscribe <https://" in desk.render("<a href='{{ unsubscribe_url }}'>No</a>").text
    desk.write("mail.txt", "Hi {{ unsubscribe_url }}")
    message = desk.render("x")
    assert "Unsubscribe" not in message.text
    assert "Unsubscribe</a>" in message.html


def test_languages_have_layouts_of_their_own(desk: Desk) -> None:
    desk.write("_layout.html", "<body>any {{ body }}")
    desk.write("_layout.de.html", "<body>deutsch {{ body }}")
    desk.write("mail.de.html", "---\nsubject: x\n---\nHallo")
    blueprint = desk.compile("Hello")
    pages = {tag: Renderer(blueprint, SITE).render(person({}, locale=tag)).html for tag in ("de", "en")}
    assert "deutsch Hallo" in pages["de"]
    assert "any Hello" in pages["en"]


def test_a_whole_page_has_no_layout(desk: Desk) -> None:
    desk.write("_layout.html", "<body>frame {{ body }}")
    assert "frame" not in desk.render("<!doctype html><html><body><p>x</p></body></html>").html


FAULTS = [
    ("<body></body>", "SK324"),
    ("<body>{{ body }}{{ body }}</body>", "SK324"),
    ("<body title='{{ body }}'></body>", "SK324"),
    ("<style>{{ body }}</style>", "SK317"),
    ("<body>{% if body %}{{ body }}{% endif %}</body>", "SK311"),
    ("<body>{{ body | upper }}</body>", "SK311"),
    ("<body>{{ content }}</body>", "SK311"),
    ("<body>{{ nope }}{{ body }}</body>", "SK311"),
    ("<body>{{ body }", "SK310"),
    ("<body>{% block body %}{% endblock %}</body>", "SK313"),
    ("<body>{{ body }}<a href='javascript:x'>x</a></body>", "SK316"),
    ("<body>{{ body }}<a href='x", "SK318"),
]


@pytest.mark.parametrize(("text", "code"), FAULTS)
def test_faults_of_a_layout_stand_in_the_layout(desk: Desk, text: str, code: str) -> None:
    desk.write("_layout.html", text)
    found = desk.faults("<p>x</p>")
    assert code in [fault.code for fault in found]
    assert {fault.file for fault in found} == {"loops/templates/_layout.html"}


def test_a_layouts_own_words_are_no_names_elsewhere(desk: Desk) -> None:
    assert desk.codes("{{ body }} {{ footer }}") == ["SK311", "SK311"]


def test_rules_stand_before_what_an_element_says_itself() -> None:
    page = inline(
        '<html><head><style>p { color: red; margin: 0 } p.a { font-family: "Two Words" } a:hover { color: blue }'
        "@media (max-width: 9px) { p { color: green } } td { padding: 1px !important }</style></head><body>"
        "<p id=a class=a>1</p><p id=b style='color:{{ user.c }}'>2</p><p id=c style=color:blue>3</p>"
        "<table>{% for x in user.l %}<tr><td id=d>{{ x }}</td></tr>{% endfor %}</table>"
        "<p id=e {% if user.x %}style='margin:1px'{% endif %}>5</p></body></html>"
    )
    found = Styles(page).found
    assert found["a"] == "color: red;margin: 0;font-family: 'Two Words';"
    assert found["b"] == "color: red;margin: 0;color:{{ user.c }}"
    assert found["c"] == "color: red;margin: 0;color:blue"
    assert found["d"] == "padding: 1px !important;"
    assert "<p id=e {% if user.x %}style='margin:1px'{% endif %}>" in page
    assert "a:hover" in page
    assert "@media" in page
    assert "{% for x in user.l %}<tr><td" in page


def test_styles_for_some_are_not_inlined_for_all() -> None:
    page = (
        "<style media=print>p { color: black }</style>{% if user.x %}<style>p { color: pink }</style>{% endif %}"
        "<style>p { width: {% if user.x %}1px{% else %}2px{% endif %} }</style><p id=a>x</p>"
    )
    assert inline(page) == page


def test_no_style_is_fetched_from_anywhere(desk: Desk) -> None:
    secret = desk.folder / "secret.css"
    secret.write_text("p { color: purple }", encoding="utf-8")
    page = f"<link rel=stylesheet href='file://{secret}'><style>@import '{secret}'; b {{ color: red }}</style><p>x</p>"
    assert "purple" not in inline(page)


def test_the_shipped_layout_is_sound(desk: Desk) -> None:
    page = desk.render("<h1 id=h>Hi</h1><p><a id=b class=button href='https://acme.example'>Go</a></p>").html
    styles = Styles(page).found
    assert "background: #1d4ed8" in styles["b"]
    assert "font-size: 26px" in styles["h"]
    assert "prefers-color-scheme: dark" in page
    assert 'name="viewport"' in page
    assert len(page.encode()) < 12_000
    assert check_templates(desk.loop()) == []


def test_the_shipped_layout_would_pass_as_ones_own(desk: Desk) -> None:
    body = "<p>Hi {{ user.name }}</p>"
    before = desk.compile(body)
    desk.write("_layout.html", shipped())
    assert check_templates(desk.loop()) == []
    assert desk.compile(body) == before


def test_what_is_only_checked_has_the_faults_of_what_is_compiled(desk: Desk) -> None:
    for body in ("<p>{{ user.name", "<a href='http://acme.example'>x</a>", "{% if user.a %}" * 60 + "{% endif %}" * 60):
        desk.write("mail.html", f"---\nsubject: Hello\n---\n{body}")
        loop = desk.loop()
        assert check_templates(loop) == compile_draft(loop, loop.steps[0])[1]
