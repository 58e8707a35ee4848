"""A mail without anybody in it: every value of a person is the name of its column."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from skene_airflow.message.mask import masked, specimen
from skene_airflow.message.render import Row
from tests.unit.message.conftest import Desk

SECRETS = {
    "name": "Zebulon",
    "plan": "Ruritania",
    "x": "Ruritania",
    "seats": 77331,
    "since": datetime(2019, 3, 2, tzinfo=UTC),
    "records": ["Zebulon", "Ruritania"],
}
ROW = Row(0, "hello", "main", "77331", "Zebulon", "zebulon@ruritania.example", SECRETS, "Asia/Kathmandu", "de")
BODIES = [
    ("Hi {{ user.name }}", "Hi ‹name›"),
    ("Hi {{ user['name'] }}", "Hi ‹name›"),
    ("{{ n }} of {{ user.plan | upper }}", "‹name› of ‹plan›"),
    ("{{ user.name ~ ' / ' ~ user.plan }}", "‹name› ‹plan›"),
    ("{{ greeting }}", "‹name›"),
    ("{{ fixed }} and {{ loop.id }}, {{ segment }}", "Dear all and hello, all"),
    ("{% if user.seats > 5 %}many{% else %}few{% endif %}", "many"),
    ("{% for r in user.records %}[{{ r }}|{{ loop.index }}]{% endfor %}", "[‹r›|1][‹r›|2]"),
    ("{% set fixed = user.name %}{{ fixed }}", "‹fixed›"),
    ("{{ 'Ruritania' if user.x else 'none' }}", "‹x›"),
    ("since {{ user.since | date }} {{ user.seats | number }}", "since ‹since› ‹seats›"),
    ("{% raw %}{{ name }}{% endraw %} {{ user.name }}", "{{ name }} ‹name›"),
    ('<a href="{{ user.name }}">x</a> {{ user.name }}', "‹name›"),
]
KEYS = {"n": '"{{ user.name }}"', "greeting": '"Hi {{ user.name }}!"', "fixed": "Dear all"}


@pytest.mark.parametrize(("body", "said"), BODIES)
def test_columns_are_named_and_nothing_of_the_person_is_left(desk: Desk, body: str, said: str) -> None:
    blueprint = desk.compile(body, subject="'{{ n }} {{ user.plan }}'", personalization=KEYS)
    seen = specimen(blueprint, ROW)
    assert said in seen.html
    assert seen.subject == "‹name› ‹plan›"
    everything = str(seen)
    for secret in ("Zebulon", "zebulon", "Ruritania", "77331", "2019", "77,331"):
        assert secret not in everything


def test_the_text_part_is_masked_too(desk: Desk) -> None:
    desk.write("mail.txt", "Hello {{ user.name }}, {{ unsubscribe_url }}")
    seen = specimen(desk.compile("<p>Hi {{ user.name }}</p>"), ROW)
    assert "Hello ‹name›, ‹unsubscribe_url›" in seen.text


def test_every_language_is_masked(desk: Desk) -> None:
    desk.write("mail.de.html", "---\nsubject: Hallo {{ user.name }}\n---\nTag, {{ user.name }}")
    seen = specimen(desk.compile("Hi {{ user.name }}"), ROW)
    assert seen.subject == "Hallo ‹name›"
    assert "Tag, ‹name›" in seen.html


def test_somebody_made_up_will_do(desk: Desk) -> None:
    blueprint = desk.compile("{% if user.seats > 5 %}Hi {{ user.name }}{% endif %}")
    assert "Hi ‹name›" in specimen(blueprint).html


def test_what_reads_nobody_stays_as_it_is(desk: Desk) -> None:
    blueprint = desk.compile("Hi all, {{ loop.topic }} {{ '{' }}% {{ '{{' }}")
    assert masked(blueprint).html.count("{{ loop.topic }}") == blueprint.html.count("{{ loop.topic }}")
    assert "Hi all, marketing {% {{" in specimen(blueprint).html


def test_a_message_in_the_app(desk: Desk) -> None:
    blueprint = desk.compile("{{ user.name }}")
    notice = replace(
        blueprint, in_app=True, subject="{{ user.name }}, look", text="{{ user.plan }}!", link="/{{ user.x }}"
    )
    seen = specimen(notice, ROW)
    assert (seen.subject, seen.text) == ("‹name›, look", "‹plan›!\n\n/‹x›")
    assert "Ruritania" not in str(seen)
