"""A file for each language: whoever has none of their own reads the closest, and at last the default."""

from __future__ import annotations

import pytest

from skene_airflow.errors import MissingVariable
from skene_airflow.message.blueprint import Blueprint
from skene_airflow.message.render import Renderer
from skene_airflow.message.template import compile_blueprint
from tests.unit.message.conftest import SITE, Desk, person


def write(desk: Desk, name: str, word: str) -> None:
    desk.write(name, f"---\nsubject: {word} subject\npreheader: {word} preheader\n---\n<p>{word} body</p>\n")


@pytest.mark.parametrize(
    ("locale", "word"),
    [("pt-BR", "brasil"), ("pt_BR", "brasil"), ("PT-br", "brasil"), ("pt_BR.UTF-8", "brasil"), ("pt", "pt"),
     ("pt-PT", "pt"), ("pt-AO", "pt"), ("zh-Hant-TW", "hant"), ("zh", "default"), ("de", "default"),
     (None, "default"), ("", "default"), ("../../etc", "default"), ("x" * 5000, "default"), ("-", "default")],
)  # fmt: skip
def test_the_closest_language_is_chosen_for_each_person(desk: Desk, locale: str | None, word: str) -> None:
    for name, text in (("mail", "default"), ("mail.pt", "pt"), ("mail.pt-BR", "brasil"), ("mail.zh_Hant", "hant")):
        write(desk, f"{name}.html", text)
    loop = desk.loop()
    blueprint = Blueprint.from_json(compile_blueprint(loop, loop.steps[0]).to_json())
    message = Renderer(blueprint, SITE).render(person({}, locale=locale))
    assert message.subject == f"{word} subject"
    assert f"{word} body" in message.html
    assert f"{word} preheader" in message.html
    assert message.text.startswith(f"{word} body")


def test_a_page_says_its_language_and_the_footer_speaks_it(desk: Desk) -> None:
    write(desk, "mail.html", "default")
    write(desk, "mail.de.html", "deutsch")
    write(desk, "mail.ar.html", "arabic")
    loop = desk.loop()
    renderer = Renderer(compile_blueprint(loop, loop.steps[0]), SITE)
    german, arabic = (renderer.render(person({}, locale=locale)) for locale in ("de-AT", "ar"))
    assert '<html lang="de" dir="ltr"' in german.html
    assert ">Abmelden</a>" in german.html
    assert "Abmelden <https://" in german.text
    assert '<html lang="ar" dir="rtl"' in arabic.html
    assert ">Unsubscribe</a>" in renderer.render(person({}, locale="en")).html


def test_markdown_and_a_text_part_may_be_of_one_language(desk: Desk) -> None:
    write(desk, "mail.html", "default")
    desk.write("mail.txt", "by hand\n")
    desk.write("mail.fi.md", "---\nsubject: fi\n---\n# Moi\n")
    desk.write("mail.sv.html", "---\nsubject: sv\n---\n<p>Hej</p>")
    desk.write("mail.sv.txt", "Hej, {{ user.name }}\n")
    loop = desk.loop()
    renderer = Renderer(compile_blueprint(loop, loop.steps[0]), SITE)
    texts = {tag: renderer.render(person({"name": "Ada"}, locale=tag)).text for tag in ("fi", "sv", "en")}
    # A text part of another language never stands beside a page.
    assert texts["fi"].startswith("Moi\n")
    assert texts["sv"].startswith("Hej, Ada\n")
    assert texts["en"].startswith("by hand\n")


def test_only_what_every_language_needs_is_required_of_everybody(desk: Desk) -> None:
    desk.write("mail.html", "---\nsubject: a\n---\n{{ user.a }}{{ user.b }}")
    desk.write("mail.de.html", "---\nsubject: a\n---\n{{ user.a }}{{ user.c }}")
    loop = desk.loop()
    blueprint = compile_blueprint(loop, loop.steps[0])
    assert blueprint.required == ("a",)
    assert blueprint.columns == ("a", "b", "c")
    renderer = Renderer(blueprint, SITE)
    assert renderer.render(person({"a": "1", "c": "3"}, locale="de")).subject == "a"
    with pytest.raises(MissingVariable):
        renderer.render(person({"a": "1", "c": "3"}, locale="en"))


def test_personal_values_of_one_language_alone_are_there(desk: Desk) -> None:
    write(desk, "mail.html", "default")
    desk.write("mail.de.html", "---\nsubject: Hallo {{ name }}\n---\nx")
    loop = desk.loop(personalization={"name": '"{{ user.name }}"'})
    message = Renderer(compile_blueprint(loop, loop.steps[0]), SITE).render(person({"name": "Ada"}, locale="de"))
    assert message.subject == "Hallo Ada"


@pytest.mark.parametrize(
    ("name", "code"),
    [("mail.old.html", "SK325"), ("mail.draft.md", "SK325"), ("mail.de.txt", "SK302"), ("mail.final.v2.html", "SK325")],
)
def test_files_that_serve_nobody_are_told(desk: Desk, name: str, code: str) -> None:
    desk.write(name, "---\nsubject: x\n---\nx")
    assert [(fault.file, fault.code) for fault in desk.faults("x")] == [(f"loops/templates/{name}", code)]


def test_two_files_for_one_language(desk: Desk) -> None:
    write(desk, "mail.pt-BR.html", "a")
    write(desk, "mail.pt_br.html", "b")
    assert desk.codes("x") == ["SK303"]


def test_a_template_needs_a_default_language(desk: Desk) -> None:
    from skene_airflow.message.template import check_templates

    write(desk, "mail.de.html", "a")
    [fault] = check_templates(desk.loop())
    assert "no default language" in fault.message
    assert (fault.file, fault.code) == ("loops/hello.yaml", "SK302")


def test_faults_of_every_language_are_told(desk: Desk) -> None:
    desk.write("mail.de.html", "---\nsubject: x\n---\n{{ nope }}")
    desk.write("mail.fi.html", "---\nsubject: x\n---\n<a href='javascript:x'>x</a>")
    assert [(fault.file, fault.code) for fault in desk.faults("{{ neither }}")] == [
        ("loops/templates/mail.de.html", "SK311"),
        ("loops/templates/mail.fi.html", "SK316"),
        ("loops/templates/mail.html", "SK311"),
    ]
