"""What is wrong in a template is found when the loop is checked: with a code, a place, and what to write."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from skene_airflow.errors import LoopError
from skene_airflow.message.blueprint import Blueprint
from skene_airflow.message.codes import Code
from skene_airflow.message.template import check_templates, compile_blueprint
from tests.unit.message.conftest import Desk


def first(desk: Desk, text: str, name: str = "mail.html", **rest: Any) -> str:
    """Return the first fault of a whole template file as people read it."""
    desk.write(name, text)
    return str(check_templates(desk.loop(**rest))[0])


FILES = [
    ("<p>Hi</p>", "1:1: a template begins with front matter; begin with the lines `---`, `subject: …`, `---` [SK305]"),
    ("---\nsubject: x\n<p>", "1:1: the front matter never ends; close it with a line `---` [SK305]"),
    ("---\n---\nHi", "1:1: subject: a mail needs a subject; write `subject: …` [SK308]"),
    ("---\nsubject:\n---\nHi", "1:1: subject: a mail needs a subject; write `subject: …` [SK308]"),
    ("---\nsubject: x\npreheadr: y\n---\n", "3:1: preheadr: unknown key; did you mean 'preheader'? [SK307]"),
    ("---\nsubject: x\nfrom: y\n---\n", "3:1: from: unknown key; there are `subject` and `preheader` [SK307]"),
    ("---\nsubject: x\nsubject: y\n---\n", "3:1: subject: this key stands here twice; keep one of them [SK309]"),
    ("---\nsubject: [x]\n---\n", "2:1: subject: this is no text; put it in quotes [SK306]"),
    (
        "---\nsubject: Now: act\n---\n",
        "2:13: this is not YAML: mapping values are not allowed here; put the text in quotes [SK306]",
    ),
    (
        "---\nsubject: Deal #1\n---\n",
        "2:15: YAML takes ` #` for a comment and cuts the text there; put the text in quotes [SK306]",
    ),
    ("---\nsubject: Hi {{ nam }}\n---\n", "2:16: subject: 'nam' is not in scope; did you mean 'name'? [SK311]"),
    ("---\nsubject: {{ nam }}, hi\n---\n", "2:13: subject: 'nam' is not in scope; did you mean 'name'? [SK311]"),
    (
        '---\npreheader: x\nsubject: "It\'s {{ nam }}"\n---\n',
        "3:19: subject: 'nam' is not in scope; did you mean 'name'? [SK311]",
    ),
    (
        "---\r\nsubject: x\r\n---\r\n<p>\r\n  {{ nam }} {{ nam }}",
        "5:6: 'nam' is not in scope; did you mean 'name'? [SK311]",
    ),
    (
        "---\nsubject: x\n---\n<p>\n{% if x %",
        "5:3: expected token 'end of statement block', got '%'; mend the Jinja [SK310]",
    ),
    (
        "---\nsubject: x\n---\n{{ email }}",
        "4:4: 'email' is not in scope; write `user.email` for a column, or add it to `personalization` [SK311]",
    ),
]


@pytest.mark.parametrize(("text", "fault"), FILES)
def test_a_fault_has_its_place_in_the_file(desk: Desk, text: str, fault: str) -> None:
    found = first(desk, text, personalization={"name": '"{{ user.name }}"'})
    if "SK310" in fault:
        assert found.startswith("loops/templates/mail.html:5:")
        assert found.endswith("[SK310]")
    else:
        assert found == f"loops/templates/mail.html:{fault}"


BODIES = [
    ("{{ user }}", Code.NOT_STATIC),
    ("{{ user[column] }}", Code.NOT_STATIC),
    ("{{ user[1] }}", Code.NOT_STATIC),
    ("{% for key in user %}{% endfor %}", Code.NOT_STATIC),
    ("{{ loop }}", Code.NOT_STATIC),
    ("{{ loop.index }}", Code.UNKNOWN_VARIABLE),
    ("{% for x in user.a %}{{ loop.idx }}{% endfor %}", Code.UNKNOWN_VARIABLE),
    ("{{ step.name }}", Code.UNKNOWN_VARIABLE),
    ("{{ conn.x }}", Code.UNKNOWN_VARIABLE),
    ("{{ ds }}", Code.UNKNOWN_VARIABLE),
    ("{{ self }}", Code.UNKNOWN_VARIABLE),
    ("{{ _person }}", Code.UNKNOWN_VARIABLE),
    ("{% for x in user.a %}{% endfor %}{{ x }}", Code.UNKNOWN_VARIABLE),
    ("{% set x = 1 %}{% if x %}{% set y = 1 %}{% endif %}{{ y }}", Code.UNKNOWN_VARIABLE),
    ("{{ range(9) }}", Code.REFUSED),
    ("{{ user.name.upper() }}", Code.REFUSED),
    ("{{ ''.__class__.__mro__[1].__subclasses__() }}", Code.REFUSED),
    ("{{ 9 ** 9 ** 9 }}", Code.REFUSED),
    ("{% include 'x.html' %}", Code.BAD_INCLUDE),
    ("{% extends 'x.html' %}", Code.REFUSED),
    ("{% import 'x.html' as x %}", Code.REFUSED),
    ("{% from 'x.html' import y %}", Code.REFUSED),
    ("{% block x %}{% endblock %}", Code.REFUSED),
    ("{% macro x() %}{% endmacro %}", Code.REFUSED),
    ("{% filter upper %}x{% endfilter %}", Code.REFUSED),
    ("{% set x %}<b>{% endset %}", Code.REFUSED),
    ("{% set user = 1 %}", Code.REFUSED),
    ("{% set unsubscribe_url = 'x' %}", Code.REFUSED),
    ("{% set ns.x = 1 %}", Code.REFUSED),
    ("{% autoescape false %}{{ user.x }}{% endautoescape %}", Code.REFUSED),
    ("{% with %}{% endwith %}", Code.REFUSED),
    ("{% for x in user.a recursive %}{% endfor %}", Code.REFUSED),
    (
        "{% for a in user.a %}{% for b in user.a %}{% for c in user.a %}{% endfor %}{% endfor %}{% endfor %}",
        Code.REFUSED,
    ),
    ("{{ user.x | truncate(*user.y) }}", Code.REFUSED),
    ("{{ user.x | safe }}", Code.UNKNOWN_FILTER),
    ("{{ user.x | tojson }}", Code.UNKNOWN_FILTER),
    ("{{ user.x | attr('y') }}", Code.UNKNOWN_FILTER),
    ("{{ user.x | pprint }}", Code.UNKNOWN_FILTER),
    ("{{ user.x | e }}", Code.UNKNOWN_FILTER),
    ("{{ user.x | map('upper') }}", Code.UNKNOWN_FILTER),
    ("{{ user.x | _link }}", Code.UNKNOWN_FILTER),
    ("{% if user.x is callable %}{% endif %}", Code.UNKNOWN_TEST),
    ("{{ 'x' if user.x }}", Code.MAY_BE_NOTHING),
    ("{{ user.x or none }}", Code.MAY_BE_NOTHING),
    ('<a href="javascript:alert(1)">x</a>', Code.BAD_LINK),
    ("<a href='&#106;avascript:alert(1)'>x</a>", Code.BAD_LINK),
    ("<a href=data:text/html,x>x</a>", Code.BAD_LINK),
    ('<a href="/pricing">x</a>', Code.BAD_LINK),
    ('<a href="">x</a>', Code.BAD_LINK),
    ('<a href="java{{ user.x }}">x</a>', Code.BAD_LINK),
    ('<a href="{% if user.x %}{{ user.x }}{% else %}vbscript:x{% endif %}">x</a>', Code.BAD_LINK),
    ('<a href="{% if user.x %}https://a.example{% endif %}/path">x</a>', Code.BAD_LINK),
    ('<iframe srcdoc="{{ user.x }}"></iframe>', Code.UNSAFE_PLACE),
    ('<img src="cid:x">', Code.BAD_LINK),
    ("<a {{ user.x }}>x</a>", Code.UNSAFE_PLACE),
    ("<a href={{ user.x }}>x</a>", Code.UNSAFE_PLACE),
    ("<a title=a{{ user.x }}>x</a>", Code.UNSAFE_PLACE),
    ('<p onclick="{{ user.x }}">x</p>', Code.UNSAFE_PLACE),
    ("<{{ user.x }}>", Code.UNSAFE_PLACE),
    ("</{{ user.x }}>", Code.UNSAFE_PLACE),
    ("<script>var x = '{{ user.x }}'</script>", Code.UNSAFE_PLACE),
    ("<style>p { color: {{ user.x }} }</style>", Code.UNSAFE_PLACE),
    ('<p title="{% if user.x %}">{% endif %}', Code.BROKEN_HTML),
    ('{% if user.x %}<p title="x{% else %}<p title="y{% endif %}">', Code.BROKEN_HTML),
    ('<a href="https://x.example', Code.BROKEN_HTML),
    ("<!-- never closed", Code.BROKEN_HTML),
]


@pytest.mark.parametrize(("body", "code"), BODIES)
def test_what_a_body_cannot_say(desk: Desk, body: str, code: Code) -> None:
    found = desk.faults(body)
    assert code.value in [fault.code for fault in found]
    assert all(fault.file == "loops/templates/mail.html" and fault.line == 4 and fault.column >= 1 for fault in found)


GOOD = [
    "{{ user.name }} {{ user['First name'] }} {{ loop.id }} {{ loop.topic }} {{ step.id }} {{ segment }}",
    "{% for x in user.list %}{{ loop.index }} {{ x.name or '' }}{% if not loop.last %}, {% endif %}{% endfor %}",
    "{% set n = user.seats + 1 %}{{ n }} {{ 'a' if n else 'b' }}{% if variant is defined %}{{ variant }}{% endif %}",
    "{% raw %}{{ not.jinja }}{% endraw %} {# {{ nor.this }} #}",
    '<a href="{% if user.x %}https://a.example/{{ user.x }}{% else %}#top{% endif %}">x</a>',
    '<a href="{% if user.x %}https://a.example{% else %}https://b.example{% endif %}/path">x</a>',
    '<td {% if user.x %}class="a"{% endif %} style="width: {{ user.x }}%"><img src="https://x.example/a.png" alt="">',
    "<!--[if mso]><table><tr><td><![endif]--><p>x</p><!--[if mso]></td></tr></table><![endif]-->",
    "5 < 6 and {{ user.x }} <3 <!-- {{ user.y }} --> <!doctype html><br/>",
]


@pytest.mark.parametrize("body", GOOD)
def test_what_a_body_can_say(desk: Desk, body: str) -> None:
    assert desk.faults(body) == []


def test_every_fault_of_every_part_is_reported_at_once(desk: Desk) -> None:
    desk.write("mail.html", "---\nsubject: '{{ a }}'\npreheader: '{{ b }}'\n---\n{{ c }}\n{{ d }}{{ c }}")
    desk.write("mail.txt", "{{ e }}")
    loop = desk.loop({"user": "x", "k": '"{{ nobody }}"'}, action="      from: Ada <ada@acme_.example>\n")
    found = [(fault.file, fault.line, fault.column, fault.code) for fault in check_templates(loop)]
    html, text, yaml = "loops/templates/mail.html", "loops/templates/mail.txt", "loops/hello.yaml"
    assert found == [
        (yaml, 9, 13, "SK320"),
        (yaml, 11, 15, "SK319"),
        (yaml, 12, 12, "SK311"),
        (html, 2, 14, "SK311"),
        (html, 3, 16, "SK311"),
        (html, 5, 4, "SK311"),
        (html, 6, 4, "SK311"),
        (html, 6, 11, "SK311"),
        (text, 1, 4, "SK311"),
    ]
    with pytest.raises(LoopError) as caught:
        compile_blueprint(loop, loop.steps[0])
    assert list(caught.value.faults) == check_templates(loop)


def test_an_unknown_template_is_told_where_it_is_named(desk: Desk) -> None:
    desk.write("re_engagement.html", "---\nsubject: x\n---\n")
    fault = check_templates(desk.loop(template="re_engagment"))[0]
    assert str(fault) == (
        "loops/hello.yaml:8:17: steps[0].action.template: there is no template 're_engagment'; "
        "did you mean 're_engagement'? [SK302]"
    )


def test_files_that_cannot_be_templates(desk: Desk) -> None:
    desk.write("mail.html", "---\nsubject: x\n---\n")
    path = desk.folder / "loops" / "templates" / "mail.html"
    path.write_bytes(b"---\nsubject: Gr\xfc\xdfe\n---\n")
    fault = check_templates(desk.loop())[0]
    assert (fault.line, fault.column, fault.code) == (2, 12, "SK304")
    path.write_bytes(b"---\nsubject: x\n---\n" + b"x" * 300_000)
    assert [fault.code for fault in check_templates(desk.loop())] == ["SK304"]
    path.write_bytes(b"\xef\xbb\xbf---\nsubject: x\n---\n")
    assert check_templates(desk.loop()) == []


def test_html_and_markdown_of_one_name(desk: Desk) -> None:
    desk.write("mail.md", "---\nsubject: x\n---\n")
    assert desk.codes("x") == ["SK303"]


@pytest.mark.parametrize("key", ["user", "loop", "unsubscribe_url", "_x", "not"])
def test_keys_that_no_template_could_print(desk: Desk, key: str) -> None:
    assert desk.codes("x", personalization={f'"{key}"': "x"}) == ["SK319"]


@pytest.mark.parametrize(
    ("value", "code"),
    [("{{ name }}", "SK311"), ("{{ user }}", "SK312"), ("{{ user.x | safe }}", "SK314"), ("{{ user.x", "SK310"),
     ("{{ loop.id }}", "SK311"), ("{% include 'x' %}", "SK313"), ("{{ user.x() }}", "SK313")],
)  # fmt: skip
def test_values_speak_of_the_person_alone(desk: Desk, value: str, code: str) -> None:
    found = desk.faults("{{ k }}", personalization={"k": f'"{value}"'})
    assert [(fault.file, fault.line, fault.code) for fault in found] == [("loops/hello.yaml", 10, code)]


REQUIRED = [
    ("{{ user.a }}", {"a"}),
    ("{{ k }}", {"name"}),
    ("{{ k | upper }} {{ 'x' ~ user.b }} {{ user.c + 1 }}", {"name", "b", "c"}),
    ("{{ k or 'there' }} {{ user.b | default('x') }} {{ user.c | d('x') | upper }}", set()),
    ("{{ mixed }}", {"name"}),
    ("{{ rescued }} {{ fixed }}", set()),
    ("{% if user.a %}{{ user.b }}{% endif %}", set()),
    ("{% for x in user.a %}{{ x }}{{ user.b }}{% endfor %}", {"a"}),
    ("{% for x in user.a or [] %}{{ x }}{% endfor %}", set()),
    ("{{ user.a if user.b else user.a }} {{ user.c if user.b else 'x' }}", {"a"}),
    ("{{ user.a and user.b }}", {"a"}),
    ("{% set k = 'x' %}{{ k }}", set()),
    ("{{ user.data.city }} {{ user['b'] }}", {"data", "b"}),
    ('<a href="{{ user.url }}">x</a>', {"url"}),
    ("<!-- {{ user.a }} -->", {"a"}),
]


@pytest.mark.parametrize(("body", "required"), REQUIRED)
def test_required_is_what_no_mail_can_do_without(desk: Desk, body: str, required: set[str]) -> None:
    values = {
        "k": '"{{ user.name }}"',
        "mixed": '"Dear {{ user.name }}!"',
        "rescued": "\"{{ user.name or 'you' }}\"",
        "fixed": "5",
        "unused": '"{{ user.secret }}"',
    }
    blueprint = desk.compile(body, personalization=values)
    assert set(blueprint.required) == required
    assert set(blueprint.required) <= set(blueprint.columns)
    assert "secret" not in blueprint.columns
    assert list(blueprint.columns) == sorted(blueprint.columns)


def test_subject_and_preheader_count_too(desk: Desk) -> None:
    desk.write("mail.html", "---\nsubject: Hi {{ user.a }}\npreheader: '{{ user.b }}'\n---\nx")
    desk.write("mail.txt", "{{ user.c }}")
    loop = desk.loop()
    assert compile_blueprint(loop, loop.steps[0]).required == ("a", "b", "c")


def test_a_blueprint_survives_json(desk: Desk) -> None:
    blueprint = desk.compile(
        "Hi {{ k }} ✓", personalization={"k": '"{{ user.name }}"', "n": "5", "x": "null", "f": "1.5", "b": "true"}
    )
    again = Blueprint.from_json(blueprint.to_json())
    assert again == blueprint
    assert (again.sha256, again.to_json()) == (blueprint.sha256, blueprint.to_json())
    assert desk.compile("Hi {{ k }} ✓!", personalization={"k": '"{{ user.name }}"'}).sha256 != blueprint.sha256
    for bad in ("{}", "[]", '{"format": 2}', '{"format": 1}'):
        with pytest.raises(ValueError, match="not a blueprint"):
            Blueprint.from_json(bad)


def test_codes_are_unique_and_stable() -> None:
    assert len({code.value for code in Code}) == len(Code)
    assert all(code.value.startswith("SK3") and len(code.value) == 5 for code in Code)
    assert (Code.BAD_NAME.value, Code.BAD_UTM.value) == ("SK301", "SK327")


def test_the_reference_template_is_good() -> None:
    from skene_airflow.loop.load import load_loop
    from skene_airflow.loop.schema import Loop

    loop = load_loop(Path(__file__).parents[3] / "loops" / "re_engagement.yaml")
    assert isinstance(loop, Loop)
    blueprint = compile_blueprint(loop, loop.steps[0])
    assert blueprint.columns == blueprint.required == ("last_activity_at", "name")
    assert check_templates(loop) == []
