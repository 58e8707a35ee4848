"""Somebody who does not exist, with values that fit the mail."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from skene_airflow.message.render import Renderer
from skene_airflow.message.sample import sample_row, sample_values
from tests.unit.message.conftest import SITE, Desk

AT = datetime(2026, 1, 15, 9, tzinfo=UTC)
BODIES = [
    ("{{ user.created_at }} {{ user.trial | date }} {{ user.x | ago }}", "2026-01-06 Jan 6, 2026 1 week ago"),
    ("{{ user.spent | money('EUR') }} {{ user.a + 1 }} {{ user.order_count }}", "€12.00 13 12"),
    ("{% if user.seats > 5 %}many{% endif %}", "many"),
    ("{{ user.name }} {{ user.firstName }} {{ user.company_name }} {{ user.plan }}", "Ada Ada Ada Pro"),
    ("{{ user.favourite_colour }}", "Sample favourite colour"),
    (
        "{% for item in user.records %}{{ item.title }}: {{ item.price | money('EUR') }}. {% endfor %}",
        "First title: €12.00.",
    ),
    ("{% for x in user.records %}{{ x }}, {% endfor %}", "First record, Second record, Third record,"),
    ("{{ user.address.city }}", "Helsinki"),
    ('<a href="{{ user.reset }}">x</a>', 'href="https://acme.example/sample"'),
    ("{% if user.is_admin %}admin{% endif %}", "admin"),
    ("{{ k | date }} {{ n + 1 }}", "Jan 6, 2026 13"),
    ("{{ user.list | join(', ') }}", "First list, Second list, Third list"),
    ("{{ user.x or 'there' }} {{ user.y | default('z') }}", "Sample x Sample y"),
]


@pytest.mark.parametrize(("body", "said"), BODIES)
def test_values_fit_how_they_are_used(desk: Desk, body: str, said: str) -> None:
    blueprint = desk.compile(body, personalization={"k": '"{{ user.k1 }}"', "n": '"{{ user.n1 }}"'})
    assert said in Renderer(blueprint, SITE).render(sample_row(blueprint, AT)).html


def test_the_same_mail_has_the_same_sample(desk: Desk) -> None:
    blueprint = desk.compile("{{ user.a }} {{ user.b | date }}")
    assert sample_row(blueprint, AT, "de") == sample_row(blueprint, AT, "de")
    assert set(sample_values(blueprint, AT)) == {"a", "b"}
