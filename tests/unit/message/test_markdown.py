"""Markdown with Jinja in it."""

from __future__ import annotations

import pytest

from skene_airflow.message.markdown import to_html
from skene_airflow.message.tags import split
from tests.unit.message.conftest import Desk


@pytest.mark.parametrize(
    ("source", "html"),
    [
        (
            "# Hi {{ name }}\n\ntext **{{ user.a }}**",
            "<h1>Hi {{ name }}</h1>\n<p>text <strong>{{ user.a }}</strong></p>\n",
        ),
        (
            "{{ user.a_b_c * 2 * user.d }} {{ 'x' ~ \"_y_\" }}",
            "<p>{{ user.a_b_c * 2 * user.d }} {{ 'x' ~ \"_y_\" }}</p>\n",
        ),
        ("[go]({{ user.url }})", '<p><a href="{{ user.url }}">go</a></p>\n'),
        ("[go](https://x.example/{{ user.id }}?a=1)", '<p><a href="https://x.example/{{ user.id }}?a=1">go</a></p>\n'),
        ("a\n{% if x %}\nb\n{% endif %}\nc", "<p>a</p>\n{% if x %}\n<p>b</p>\n{% endif %}\n<p>c</p>\n"),
        ("a {% if x %}b{% endif %} c", "<p>a {% if x %}b{% endif %} c</p>\n"),
        ("{% raw %}{{ x }}{% endraw %}", "<p>{{ '{' }}{ x }}</p>\n"),
        ("<b>html</b> {# gone #}&amp;", "<p><b>html</b> &amp;</p>\n"),
        ("| a | b |\n|---|---|\n| {{ x }} | 2 |", None),
    ],
)
def test_to_html(source: str, html: str | None) -> None:
    made = to_html(split(source))
    assert made == html if html is not None else "<td>{{ x }}</td>" in made


def test_a_markdown_mail(desk: Desk) -> None:
    source = "# Hi {{ user.name }}\n\n{% for x in user.list %}\n- {{ x }}\n{% endfor %}\n\n[See]({{ user.url }})\n"
    user = {"name": "<b>", "list": ["a", "b"], "url": "https://x.example"}
    message = desk.render(source, user, name="mail.md")
    assert ">Hi &lt;b&gt;</h1>" in message.html
    assert '<a style="color: #1d4ed8;" href="https://x.example">See</a>' in message.html
    assert message.text.startswith("Hi <b>\n\n- a\n\n- b\n\nSee <https://x.example>\n")


def test_faults_of_markdown(desk: Desk) -> None:
    assert str(desk.faults("Hi\n\n**{{ nam }}**", name="mail.md")[0]).startswith("loops/templates/mail.md:6:6: ")
    assert desk.codes("[x](/here)", name="mail.md") == ["SK316"]
    assert desk.codes('<p onclick="{{ user.x }}">', name="mail.md") == ["SK317"]
    with pytest.raises(Exception, match="link"):
        desk.render("[x]({{ user.url }})", {"url": "javascript:x"}, name="mail.md")
