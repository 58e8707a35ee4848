from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skene_airflow.channels.safety import DETAIL_CAP, Mailbox, error_class, mailbox, one_line, scrub, whole_text


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("a@b.example", Mailbox("", "a@b.example")),
        ("<a@b.example>", Mailbox("", "a@b.example")),
        ("Ada <a@b.example>", Mailbox("Ada", "a@b.example")),
        ('"Ada \\"L\\", Acme" <a@b.example>', Mailbox('Ada "L", Acme', "a@b.example")),
        ("Zoë <a+tag@b-c.example>", Mailbox("Zoë", "a+tag@b-c.example")),
        ("o'neil@b.example", Mailbox("", "o'neil@b.example")),
    ],
)
def test_one_mailbox_is_read(text: str, found: Mailbox) -> None:
    assert mailbox(text) == found


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a",
        "@b.example",
        "a@",
        "a@b.example, c@d.example",
        "a@b.example c@d.example",
        "a@b@c.example",
        "Ada a@b.example",
        "Ada <a@b.example",
        "Ada <a@b.example> <c@d.example>",
        "<c@d.example> <a@b.example>",
        "a@b.example\r\nBcc: c@d.example",
        "a@b.example\x00",
        "a\u2028@b.example",
        ".a@b.example",
        "a.@b.example",
        "a..b@b.example",
        "a@b..example",
        "a@-b.example-",
        "ä@b.example",
        '"a b"@c.example',
        "a b@c.example",
        "Ada: a@b.example;",
    ],
)
def test_anything_else_is_not_one_mailbox(text: str) -> None:
    assert mailbox(text) is None


@pytest.mark.parametrize(
    "text",
    [
        "550 <ada.lovelace@example.com>: unknown",
        'Recipient "Ada Lovelace" <ada.lovelace@example.com> refused',
        "to=ada.lovelace@example.com,reason=x",
        "ada.lovelace%40example.com in a link",
        "ADA.LOVELACE@EXAMPLE.COM",
        "`ada.lovelace@example.com` is bad",
        "(ada.lovelace@exämple.com)",
        '"ada lovelace"@example.com',
        "mailto:ada.lovelace@example.com",
        "Refused: Ada B. Lovelace <ada.lovelace@example.com> is unknown",
        "Lovelace <x%40example.com>, Ada Lovelace <x@example.com>",
    ],
)
def test_no_address_is_left(text: str) -> None:
    scrubbed = scrub(text).lower()
    assert "lovelace" not in scrubbed
    assert "@" not in scrubbed


def test_no_key_is_left() -> None:
    assert "abc" not in scrub("key re_abc and whsec_abc and SG.abc and Bearer abc")


@given(st.text(max_size=600))
def test_a_scrubbed_text_is_short_and_on_one_line(text: str) -> None:
    scrubbed = scrub(text)
    assert len(scrubbed) <= DETAIL_CAP
    assert "\n" not in scrubbed
    assert "\x00" not in scrubbed
    scrubbed.encode()


@given(st.text())
def test_one_line_is_one_line_and_stays_so(text: str) -> None:
    line = one_line(text)
    assert len(line.splitlines()) <= 1
    assert one_line(line) == line
    line.encode()


@given(st.text())
def test_a_whole_text_can_be_sent(text: str) -> None:
    assert b"\x00" not in whole_text(text).encode()


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("rate_limit_exceeded", "rate_limit_exceeded"),
        ("Ada Lovelace", ""),
        ("a" * 65, ""),
        ("", ""),
        (None, ""),
        (7, ""),
        ("a@b", ""),
        ("a\n", ""),
    ],
)
def test_only_a_plain_word_is_an_error_class(given: object, kept: str) -> None:
    assert error_class(given) == kept
