"""The text part: what the HTML says, line by line, links kept."""

from __future__ import annotations

from typing import Any

import pytest

from skene_airflow.message.environment import Program
from skene_airflow.message.textpart import NotDerivable, text_of, text_source, tidy
from tests.unit.message.conftest import Desk

TEXTS = [
    ("<p>One</p><p>Two</p>", "One\n\nTwo"),
    ("<p>One\n  line <b>bold</b>,  <i>it</i>alic</p>", "One line bold, italic"),
    ("One<br>two<br/>\n three", "One\ntwo\nthree"),
    ("<h1>Title</h1>text<hr>more", "Title\n\ntext\n\n----\n\nmore"),
    ("<ul><li>a</li><li>b<ul><li>c</li></ul></li></ul>d", "- a\n- b\n  - c\n\nd"),
    ("<ol>\n<li><p>a</p></li>\n<li>b</li>\n</ol>", "1. a\n\n2. b"),
    ('<a href="https://x.example/?a=1&amp;b=2">see</a>', "see <https://x.example/?a=1&b=2>"),
    ('<a href="https://x.example"> https://x.example </a>', "https://x.example"),
    ('<a href="mailto:a@x.example">a@x.example</a>', "a@x.example"),
    ('<a href="#top">up</a>', "up"),
    ('<a href="https://x.example"><img src="https://x.example/a.png" alt="Logo"></a>', "Logo <https://x.example>"),
    ('<a href="https://x.example"><img src="https://x.example/a.png"></a>', "<https://x.example>"),
    ('<p><a href="https://x.example"><div>Go</div></a></p>next', "Go <https://x.example>\n\nnext"),
    ("<table><tr><td>a</td><td>b</td></tr><tr><td>c</td></tr></table>", "a b\nc"),
    ("<ul><li></li><li>a<br>b</li><li><b>c</b> d</li></ul>", "-\n- a\nb\n- c d"),
    ("<pre>a\n  b</pre>", "a\n  b"),
    ("<style>p{}</style><script>x</script><head><title>t</title></head>a", "a"),
    ('<div style="display: none">hidden<div>too</div></div>shown<p hidden>no</p>', "shown"),
    ("<!--[if mso]><p>Outlook</p><![endif]--><!--[if !mso]><!--><p>others</p><!--<![endif]-->", "others"),
    ("a &lt;b&gt; &amp;amp; &copy; &nbsp;x", "a <b> &amp; © \xa0x"),
    ("<p>&#123;&#123; user.x }} {</p>", "{{ user.x }} {"),
    ("<p>a<!-- <p>b --> c</p>", "a c"),
    ("", ""),
]


@pytest.mark.parametrize(("html", "text"), TEXTS)
def test_text(html: str, text: str) -> None:
    assert tidy(Program(text_source(html), escape=False).run({})).rstrip() == text
    assert text_of(html).rstrip() == text


@pytest.mark.parametrize("yes", [True, False])
@pytest.mark.parametrize("items", [[], ["a"], ["a", "b"]])
@pytest.mark.parametrize(
    "html",
    [
        "<p>a</p>{% if yes %}<p>b {{ name }}</p>{% endif %}<p>c</p>",
        "<p>a {% if yes %} b{% else %}{{ name }} {% endif %} c</p>",
        "<p>a</p>\n{%- if yes %}\n<p>b</p>\n{% endif -%}\n<p>c</p>",
        "<ul>{% for item in items %}<li>{{ item }}</li>{% endfor %}</ul>end",
        '<ol>{% for item in items %}<li><a href="https://x.example/{{ item }}">{{ item }}</a></li>{% endfor %}</ol>end',
        "{% for item in items %}{{ item }}{% if not loop.last %}, {% endif %}{% endfor %}.",
        '<a href="{% if yes %}https://a.example{% else %}https://b.example/{{ name }}{% endif %}">x</a>',
        "{% raw %}<p>{{ no }}</p>{% endraw %} {# c #} {{ name }}",
        "{{ '}}' }} {{ {'a': {'b': name}}.a.b }}",
        "<p>a</p>{% if yes %}{% if items %}b{% endif %}{% endif %}{% for x in items %}<p>{{ x }}</p>{% endfor %}z",
    ],
)
def test_a_text_template_says_what_the_html_says(html: str, yes: bool, items: list[str]) -> None:
    values: dict[str, Any] = {"yes": yes, "items": items, "name": "Ada"}
    from_source = tidy(Program(text_source(html), escape=False).run(values))
    from_html = text_of(Program(html, escape=True).run(values))
    # Numbers of a list that a loop writes are dashes in the source: nobody can count ahead of the data.
    for number in "12":
        from_html = from_html.replace(f"{number}. ", "- ")
    assert from_source == from_html


@pytest.mark.parametrize(
    ("html", "text"),
    [
        (
            '<a {% if user.x %}href="https://a.example"{% else %}href="https://b.example"{% endif %}>go</a>',
            "go <https://b",
        ),
        ('<p style="{% if user.x %}display:none{% endif %}">shown</p>', "shown"),
        ('<p style="display:none">{% set y = 5 %}</p>{{ y }}', "5"),
        ('<p style="display:none">{% if user.x %}</p>{% endif %}<p>z</p>', ""),
    ],
)
def test_where_branches_cut_the_text_is_read_from_each_mail(desk: Desk, html: str, text: str) -> None:
    assert desk.compile(html).text == ""
    assert desk.render(html, {"x": 0}).text.startswith(text)


def test_a_link_cut_by_branches_is_read_from_each_mail(desk: Desk) -> None:
    html = '{% if user.x %}<a href="https://a.example">{% else %}<a href="https://b.example">{% endif %}go</a>'
    with pytest.raises(NotDerivable):
        text_source(html)
    assert desk.compile(html).text == ""
    assert desk.render(html, {"x": 1}).text.startswith("go <https://a.example>\n")
    assert desk.render(html, {"x": 0}).text.startswith("go <https://b.example>\n")


def test_a_text_part_written_by_hand(desk: Desk) -> None:
    desk.write("mail.txt", "Dear {{ user.name }} & co\n")
    message = desk.render("<p>HTML</p>", {"name": "<Ada>"})
    assert message.text.startswith("Dear <Ada> & co\n\nUnsubscribe <https://")


def test_a_value_makes_no_paragraph_of_its_own(desk: Desk) -> None:
    assert desk.render("<p>Hi {{ user.name }}</p>", {"name": "Ada\r\n\r\nPay here"}).text.startswith(
        "Hi Ada Pay here\n"
    )
