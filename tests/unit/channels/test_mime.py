from __future__ import annotations

import email
import email.policy
import re
from datetime import UTC, datetime
from email.header import decode_header, make_header
from email.message import EmailMessage

from hypothesis import given
from hypothesis import strategies as st

from skene_airflow.channels.mime import message_id, mime
from skene_airflow.channels.safety import one_line, whole_text
from skene_airflow.nouns import Message

NOON = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


def message(subject: str = "Hi", html: str = "<p>Hi</p>", text: str = "Hi") -> Message:
    return Message(1, "ab" * 16, "user1@example.com", "Ada <ada@acme.example>", subject, html, text)


def parsed(content: bytes) -> EmailMessage:
    mail = email.message_from_bytes(content, policy=email.policy.SMTP)
    assert isinstance(mail, EmailMessage)
    assert mail.defects == []
    return mail


def body(mail: EmailMessage, kind: str) -> str:
    part = mail.get_body((kind,))
    assert part is not None
    assert part.defects == []
    return str(part.get_content())


def as_lines(text: str) -> str:
    return whole_text(text).replace("\r\n", "\n").replace("\r", "\n").rstrip("\n")


@given(html=st.text(min_size=1), text=st.text(min_size=1))
def test_any_body_survives(html: str, text: str) -> None:
    mail = parsed(mime(message(html=html, text=text), NOON))
    assert as_lines(body(mail, "html")) == as_lines(html)
    assert as_lines(body(mail, "plain")) == as_lines(text)


@given(st.text(max_size=300))
def test_any_subject_survives(subject: str) -> None:
    content = mime(message(subject=subject), NOON)
    parsed(content)
    raw = email.message_from_bytes(content)["Subject"]
    assert str(make_header(decode_header(raw.replace("\r\n", "")))).strip() == one_line(subject)


@given(subject=st.text(max_size=300), html=st.text(), text=st.text())
def test_lines_are_short_ascii_and_end_with_crlf(subject: str, html: str, text: str) -> None:
    content = mime(message(subject=subject, html=html, text=text), NOON)
    assert content.endswith(b"\r\n")
    assert not re.search(rb"(?<!\r)\n|\r(?!\n)", content)
    assert all(len(line) <= 78 and line.isascii() for line in content.split(b"\r\n"))
    assert b"\x00" not in content


def test_it_is_an_alternative_of_text_and_html_in_that_order() -> None:
    mail = parsed(mime(message(), NOON))
    assert mail.get_content_type() == "multipart/alternative"
    assert [part.get_content_type() for part in mail.iter_parts()] == ["text/plain", "text/html"]
    assert {part.get_content_charset() for part in mail.iter_parts()} == {"utf-8"}


def test_one_body_alone_is_no_multipart() -> None:
    assert parsed(mime(message(text=""), NOON)).get_content_type() == "text/html"
    assert parsed(mime(message(html=""), NOON)).get_content_type() == "text/plain"


def test_names_and_dates_are_stable() -> None:
    content = mime(message(), NOON)
    assert content == mime(message(), NOON)
    mail = parsed(content)
    assert mail["Message-ID"] == f"<sk.{'ab' * 16}@acme.example>" == f"<{message_id(message())}>"
    assert mail["Date"] == "Tue, 24 Nov 2026 12:00:00 +0000"


def test_each_header_stands_once() -> None:
    names = [name for name, _ in email.message_from_bytes(mime(message(), NOON)).items()]
    assert len(names) == len(set(names))


def test_a_body_that_looks_like_a_boundary_stays_a_body() -> None:
    html = f"--=_sk_{'ab' * 16}--\r\n\r\nafter"
    assert "after" in body(parsed(mime(message(html=html), NOON)), "html")
