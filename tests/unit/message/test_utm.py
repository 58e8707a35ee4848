"""utm parameters in the links of a mail."""

from __future__ import annotations

import re

import pytest

from skene_airflow.message.links import with_query
from tests.unit.message.conftest import Desk

UTM = "      utm: {source: mail, campaign: spring sale}\n"
TAIL = "utm_source=mail&utm_campaign=spring%20sale"
HTML_TAIL = TAIL.replace("&", "&amp;")


@pytest.mark.parametrize(
    ("url", "tagged"),
    [
        ("https://a.example", f"https://a.example?{TAIL}"),
        ("https://a.example/x?", f"https://a.example/x?{TAIL}"),
        ("https://a.example/x?y=1&z=%26", f"https://a.example/x?y=1&z=%26&{TAIL}"),
        ("https://a.example/x#top?a", f"https://a.example/x?{TAIL}#top?a"),
        ("https://a.example/?utm_source=own", "https://a.example/?utm_source=own&utm_campaign=spring%20sale"),
        (f"https://a.example/?{TAIL}", f"https://a.example/?{TAIL}"),
        ("mailto:a@b.example", "mailto:a@b.example"),
        ("#top", "#top"),
    ],
)
def test_one_link(url: str, tagged: str) -> None:
    assert with_query(url, TAIL) == tagged


def hrefs(html: str) -> list[str]:
    return re.findall(r'href=["\']([^"\']*)', html)


def test_links_of_the_page_and_of_its_text(desk: Desk) -> None:
    body = (
        '<a href="https://a.example/?x=1&amp;y=2">a</a> <a href="{{ user.url }}">b</a> <a href=https://c.example>c</a>'
        ' <a href="https://d.example/{{ user.id }}#{{ user.id }}">d</a> <a href="mailto:x@acme.example">e</a>'
        ' <a href="{% if user.url %}https://f.example{% else %}https://g.example{% endif %}">f</a> <a href="#top">g</a>'
        ' <img src="https://h.example/x.png" alt=""> <a href="{{ unsubscribe_url }}">no</a>'
    )
    message = desk.render(body, {"url": 'https://b.example/?q="x"&r=<1>', "id": "7/8&9"}, action=UTM)
    found = hrefs(message.html)
    assert found[0] == f"https://a.example/?x=1&amp;y=2&amp;{HTML_TAIL}"
    assert found[1] == f"https://b.example/?q=&#34;x&#34;&amp;r=&lt;1&gt;&amp;{HTML_TAIL}"
    assert found[2] == f"https://c.example?{HTML_TAIL}"
    assert found[3] == f"https://d.example/7/8&amp;9?{HTML_TAIL}#7/8&amp;9"
    assert found[4] == "mailto:x@acme.example"
    assert found[5] == f"https://f.example?{HTML_TAIL}"
    assert found[6] == "#top"
    assert "utm_" not in found[7]
    assert 'src="https://h.example/x.png"' in message.html
    assert f"a <https://a.example/?x=1&y=2&{TAIL}>" in message.text
    assert f'b <https://b.example/?q="x"&r=<1>&{TAIL}>' in message.text
    assert f"d <https://d.example/7/8&9?{TAIL}#7/8&9>" in message.text
    assert f"f <https://f.example?{TAIL}>" in message.text


def test_a_text_part_by_hand(desk: Desk) -> None:
    desk.write(
        "mail.txt", "Go to https://a.example/x. Or (https://b.example)! {{ user.url }} https://c.example/{{ user.id }}"
    )
    text = desk.render("x", {"url": "https://own.example", "id": 1}, action=UTM).text
    assert f"Go to https://a.example/x?{TAIL}. Or (https://b.example?{TAIL})!" in text
    assert "https://c.example/1\n" in text


def test_without_utm_nothing_is_added(desk: Desk) -> None:
    assert "utm_" not in desk.render('<a href="https://a.example">a</a>').html


def test_values_are_encoded_and_plain(desk: Desk) -> None:
    page = desk.render('<a href="https://a.example">a</a>', action='      utm: {term: "a&b=\'<ü>"}\n').html
    assert hrefs(page)[0] == "https://a.example?utm_term=a%26b%3D%27%3C%C3%BC%3E"
    [fault] = desk.faults("x", action="      utm: {term: '{{ user.x }}'}\n")
    assert (fault.code, fault.path) == ("SK327", "steps[0].action.utm.term")


def test_dangerous_links_stay_refused(desk: Desk) -> None:
    from skene_airflow.errors import MissingVariable

    with pytest.raises(MissingVariable, match="https or mailto"):
        desk.render('<a href="{{ user.url }}">b</a>', {"url": "javascript:alert(1)"}, action=UTM)
