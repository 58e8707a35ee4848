"""What was made fast says the same as before: shared contexts, settled branches, remembered numbers and dates."""

from __future__ import annotations

from decimal import Decimal

import pytest
from babel import Locale

from skene_airflow.message.environment import Program
from skene_airflow.message.filters import PERSON
from skene_airflow.message.limits import OUTPUT_CAP, CannotRender
from skene_airflow.message.printing import Columns, Missing, Person, prepare, zone_of
from skene_airflow.message.textpart import tidy


def values(language: str = "en", **more: object) -> dict[str, object]:
    return {PERSON: Person(zone_of("UTC", "UTC"), Locale(language), None), **more}


def test_nothing_of_one_person_is_left_for_the_next() -> None:
    program = Program("{% set greeting = 'Hi ' ~ name %}{{ greeting }}", escape=True)
    assert program.run({"name": "Ada"}) == "Hi Ada"
    with pytest.raises(Exception, match="name"):
        program.run({"name": Missing(name="name")})
    assert program.run({"name": "Bo"}) == "Hi Bo"


def test_fixed_values_are_escaped_and_their_branches_settled() -> None:
    source = "{% if _links %}<a>{{ _postal_address }}</a>{% else %}none{% endif %}{% if name %}{{ name }}{% endif %}"
    fixed = {"_links": True, "_postal_address": "A & B <street>"}
    assert Program(source, escape=True, fixed=fixed).run({"name": "x"}) == "<a>A &amp; B &lt;street&gt;</a>x"
    assert Program(source, escape=True, fixed={**fixed, "_links": False}).run({"name": "x"}) == "nonex"


def test_values_are_escaped_in_html_and_stay_one_line_elsewhere() -> None:
    value = "a & b <i> 'c' \"d\"\nnext"
    assert Program("{{ v }}", escape=True).run({"v": value}) == "a &amp; b &lt;i&gt; &#39;c&#39; &#34;d&#34;\nnext"
    assert Program("{{ v }}", escape=False).run({"v": value}) == "a & b <i> 'c' \"d\" next"
    assert Program("{{ v }}{{ w }}", escape=True).run({"v": True, "w": 2.0}) == "true2"


def test_equal_numbers_that_are_written_differently_are_printed_differently() -> None:
    program = Program("{{ v | number }}", escape=False)
    printed = [program.run(values(v=v)) for v in (Decimal("1.50"), Decimal("1.5"), 1, Decimal("1.0"))]
    again = [program.run(values(v=v)) for v in (Decimal("1.0"), 1, Decimal("1.5"), Decimal("1.50"))]
    assert printed == again[::-1]
    money = Program("{{ v | money('EUR') }} {{ v | number(1) }}", escape=False)
    assert money.run(values("de", v=1234.5)) == "1.234,50 € 1.234,5"
    assert money.run(values("en", v=1234.5)) == "€1,234.50 1,234.5"


def test_a_program_that_writes_without_end_is_stopped() -> None:
    source = "{% for a in rows %}{% for b in rows %}" + "x" * 100 + "{{ b }}{% endfor %}{% endfor %}"
    with pytest.raises(CannotRender):
        Program(source, escape=True).run({"rows": list(range(1000))})
    long = Program("{% for a in rows %}{{ a }},{% endfor %}", escape=True).run({"rows": list(range(1000))})
    assert long == "".join(f"{n}," for n in range(1000))
    assert len(long) < OUTPUT_CAP


def test_parts_of_a_value_have_names() -> None:
    tree = prepare({"rows": [{"title": None, "sale": True}]}, "user.data", zone_of("UTC", "UTC"))
    assert isinstance(tree, Columns)
    with pytest.raises(Exception, match=r"user\.data\.rows\[0\]\.title"):
        str(tree["rows"][0]["title"])
    assert tree["rows"][0]["sale"] is True


@pytest.mark.parametrize(
    ("text", "tidied"),
    [
        ("a\n\n\n\nb", "a\n\nb\n"),
        ("a  b\tc \t d", "a b\tc d\n"),
        ("a \n b\t\n", "a\nb\n"),
        ("a\n  b\n c", "a\n  b\nc\n"),
        (" a ", "a\n"),
    ],
)
def test_gaps_are_tidied(text: str, tidied: str) -> None:
    assert tidy(text) == tidied
