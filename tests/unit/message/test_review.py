"""What a finished mail will trouble its readers with."""

from __future__ import annotations

from dataclasses import replace

import pytest

from skene_airflow.message.render import Site
from skene_airflow.message.review import review
from tests.unit.message.conftest import Desk

CASES = [
    ('<a href="#nowhere">x</a>', "dead_anchor"),
    ('<a href="http://acme.example">x</a>', "http_link"),
    ('<img src="http://acme.example/x.png" alt="" width="20">', "http_link"),
    ('<img src="https://acme.example/x.png" alt="" width="4000">', "huge_image"),
    ('<img src="https://acme.example/x.png" alt="" width="600" height="5000px">', "huge_image"),
    ('<img src="https://acme.example/x.png" width="20">', "no_alt"),
    ('<img src="https://acme.example/x.png" alt="">', "no_width"),
    ("<script>1</script>", "cut_out"),
    ("<form></form>", "cut_out"),
    ("x" * 105_000, "clipped"),
]


@pytest.mark.parametrize(("html", "rule"), CASES)
def test_each_rule_finds_its_case_and_nothing_else(desk: Desk, html: str, rule: str) -> None:
    good = desk.render("<p id=offers>Hi <a href='#offers'>x</a></p>")
    assert review(good, marketing=True) == []
    bad = replace(good, html=good.html.replace("</body>", f"{html}</body>"))
    assert {remark.rule for remark in review(bad, marketing=True)} == {rule}


def test_a_mail_without_a_text_part(desk: Desk) -> None:
    assert [each.rule for each in review(replace(desk.render("x"), text=" \n"), marketing=True)] == ["no_text"]


def test_marketing_without_a_way_to_say_no(desk: Desk) -> None:
    mail = desk.render("x", site=Site(from_email="Acme <hi@acme.example>"))
    assert {each.rule for each in review(mail, marketing=True)} == {"no_unsubscribe"}
    assert review(mail, marketing=False) == []
    hidden = desk.render("x")
    hidden = replace(hidden, html=hidden.html.replace("/u/", "/v/"))
    assert [each.rule for each in review(hidden, marketing=True)] == ["no_unsubscribe"]


def test_no_from_address_and_a_long_subject(desk: Desk) -> None:
    mail = replace(desk.render("x"), sender="", subject="long " * 20)
    assert [each.rule for each in review(mail, marketing=True)] == ["no_from", "long_subject"]
