"""Includes are resolved when a template is compiled: what was decided with is what is sent."""

from __future__ import annotations

import pytest

from skene_airflow.message.render import Renderer
from skene_airflow.message.template import compile_blueprint
from tests.unit.message.conftest import SITE, Desk, person


def test_an_include_is_part_of_the_page_and_of_its_text(desk: Desk) -> None:
    desk.write("_sign.html", "<p>Yours, {{ user.owner }}</p>\n")
    message = desk.render("<p>Hi</p>\n{% include '_sign.html' %}", {"owner": "<Ada>"})
    assert "Yours, &lt;Ada&gt;</p>" in message.html
    assert message.text.startswith("Hi\n\nYours, <Ada>\n")


def test_a_compiled_mail_no_longer_needs_the_file(desk: Desk) -> None:
    desk.write("_sign.html", "first")
    blueprint = desk.compile("{% include '_sign.html' %}")
    (desk.folder / "loops" / "templates" / "_sign.html").unlink()
    assert "first" in Renderer(blueprint, SITE).render(person({})).html


def test_an_include_sees_what_stands_around_it(desk: Desk) -> None:
    desk.write("parts/row.html", "<li>{{ loop.index }}: {{ item }}</li>")
    message = desk.render("<ul>{% for item in user.l %}{% include 'parts/row.html' %}{% endfor %}</ul>", {"l": ["a"]})
    assert "1: a</li>" in message.html


def test_columns_and_requirements_of_includes_count(desk: Desk) -> None:
    desk.write("_a.html", "{{ user.a }}{% include '_b.md' %}")
    desk.write("_b.md", "**{{ user.b }}**")
    blueprint = desk.compile("{% include '_a.html' %}{% if user.c %}{% include '_a.html' %}{% endif %}")
    assert blueprint.required == ("a", "b")
    assert blueprint.columns == ("a", "b", "c")


def test_markdown_and_html_include_each_other(desk: Desk) -> None:
    desk.write("_box.html", "<div>\n\n    <b>not code</b>\n\n    {{ user.x }} *plain*\n</div>")
    desk.write("_words.md", "- *one*\n- two")
    page = desk.render("# Hi\n\n{% include '_box.html' %}\n\nEnd", {"x": "1"}, name="mail.md").html
    assert "<b>not code</b>" in page
    assert "*plain*" in page
    assert "<pre" not in page
    assert "<em>one</em>" in desk.render("{% include '_words.md' %}", template="other", name="other.html").html


def test_whitespace_control_around_an_include(desk: Desk) -> None:
    desk.write("_a.html", "b")
    assert "<p>abc</p>" in desk.render("<!doctype html><p>a {%- include '_a.html' -%} c</p>").html


def test_languages_have_includes_of_their_own(desk: Desk) -> None:
    desk.write("_sign.html", "Yours")
    desk.write("_sign.de.html", "Deine")
    desk.write("mail.de.html", "---\nsubject: x\n---\n{% include '_sign.html' %}")
    desk.write("mail.fi.html", "---\nsubject: x\n---\n{% include '_sign.html' %}")
    desk.write("mail.html", "---\nsubject: x\n---\n{% include '_sign.html' %}")
    loop = desk.loop()
    renderer = Renderer(compile_blueprint(loop, loop.steps[0]), SITE)
    signs = {tag: renderer.render(person({}, locale=tag)).text.split()[0] for tag in ("de", "de-CH", "fi", "en")}
    assert signs == {"de": "Deine", "de-CH": "Deine", "fi": "Yours", "en": "Yours"}


def test_a_text_part_includes_text(desk: Desk) -> None:
    desk.write("mail.txt", "Hi\n{% include '_sign.txt' %}")
    desk.write("_sign.txt", "Yours, {{ user.name }}")
    assert desk.render("x", {"name": "<Ada>"}).text.startswith("Hi\nYours, <Ada>\n")


FAULTS = [
    ("{% include '_none.html' %}", "mail.html:4:4: there is no file templates/_none.html", "SK323"),
    ("{% include '../../etc/passwd' %}", "mail.html:4:4: '../../etc/passwd' is no plain name", "SK323"),
    ("{% include '/etc/passwd.html' %}", "mail.html:4:4: '/etc/passwd.html' is no plain name", "SK323"),
    ("{% include '_self.html' %}", "_self.html:1:4: '_self.html' includes itself", "SK323"),
    ("{% include '_a.html' ignore missing %}", "mail.html:4:4: an include of this form", "SK323"),
    ("{% include '_a.html' without context %}", "mail.html:4:4: an include of this form", "SK323"),
    ("{% include user.x %}", "mail.html:4:4: an include of this form", "SK323"),
    ("{% include ['_a.html'] %}", "mail.html:4:4: an include of this form", "SK323"),
    ("{% include ('_a.html') %}", "mail.html:4:4: an include of this form", "SK323"),
    ("{% include '_a.html' with context %}", "mail.html:4:4: an include of this form", "SK323"),
    ("{% include '_a.txt' %}", "mail.html:4:4: HTML includes .html and .md files", "SK323"),
    ("{% include '_wrong.html' %}", "_wrong.html:2:4: 'nope' is not in scope", "SK311"),
    ("{% include '_link.html' %}", "_link.html:1:4: href begins with 'javascript:x'", "SK316"),
    ("{% include '_open.html' %}", "_open.html:1:1: ", "SK310"),
]


@pytest.mark.parametrize(("body", "said", "code"), FAULTS)
def test_a_fault_stands_in_the_file_that_has_it(desk: Desk, body: str, said: str, code: str) -> None:
    desk.write("_a.html", "a")
    desk.write("_a.txt", "a")
    desk.write("_self.html", "{% include '_self.html' %}")
    desk.write("_wrong.html", "<p>\n{{ nope }}</p>")
    desk.write("_link.html", "<a href='javascript:x'>x</a>")
    desk.write("_open.html", "{% if user.x %}")
    [fault] = desk.faults(body)
    assert str(fault).startswith(f"loops/templates/{said}")
    assert fault.code == code


def test_an_include_that_doubles_itself_ends(desk: Desk) -> None:
    for number in range(30):
        desk.write(f"_a{number}.html", f"{{% include '_a{number + 1}.html' %}}" * 2)
    desk.write("_a30.html", "x")
    assert "SK323" in desk.codes("{% include '_a0.html' %}")


def test_a_subject_includes_nothing(desk: Desk) -> None:
    desk.write("_a.html", "a")
    assert desk.codes("x", subject="{% include '_a.html' %}") == ["SK313"]
