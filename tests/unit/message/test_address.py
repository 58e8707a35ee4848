"""Addresses and header lines: one recipient, one line."""

from __future__ import annotations

from email.message import EmailMessage
from email.parser import BytesParser
from email.policy import SMTP

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skene_airflow.message.address import InvalidAddress, clean_line, one_address, one_mailbox

BAD = [
    "",
    " ",
    "ada",
    "@example.com",
    "ada@",
    "ada@@example.com",
    "a@b@example.com",
    "ada@example.com, eve@example.com",
    "ada@example.com;eve@example.com",
    "ada@example.com\r\nBcc: eve@example.com",
    "ada@example.com\n",
    "a da@example.com",
    "Ada <ada@example.com>",
    "<ada@example.com>",
    '"a b"@example.com',
    "ada@[127.0.0.1]",
    "ada@127.0.0.1",
    "ada@localhost",
    ".ada@example.com",
    "ada.@example.com",
    "a..b@example.com",
    "ada@-example.com",
    "ada@example..com",
    "ada@exam ple.com",
    "ada\x00@example.com",
    "ada@example.com\x00",
    "adä@example.com",
    "ada@example.com\u202e",
    "(x)ada@example.com",
    "a" * 65 + "@example.com",
    "ada@" + "a" * 64 + ".com",
    "ada@" + ".".join(["abcdefgh"] * 40) + ".com",
    "ada@xn--\u00fc.com",
    "ada@exa_mple.com",
]


@pytest.mark.parametrize("text", BAD)
def test_anything_but_one_address_is_refused(text: str) -> None:
    with pytest.raises(InvalidAddress) as caught:
        one_address(text)
    assert not text.strip() or text not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("ada@example.com", "ada@example.com"),
        (" Ada.L+news@Example.COM ", "Ada.L+news@example.com"),
        ("o'neil@example.com", "o'neil@example.com"),
        ("ada@bücher.example", "ada@xn--bcher-kva.example"),
        ("ada@BÜCHER.example", "ada@xn--bcher-kva.example"),
        ("ada@例え.example", "ada@xn--r8jz45g.example"),
    ],
)
def test_one_address(text: str, address: str) -> None:
    assert one_address(text) == address


@pytest.mark.parametrize(
    ("text", "mailbox"),
    [
        ("ada@acme.example", "ada@acme.example"),
        ("Ada at Acme <ada@acme.example>", "Ada at Acme <ada@acme.example>"),
        ('"Acme, Inc." <hi@acme.example>', '"Acme, Inc." <hi@acme.example>'),
        ("Acme, Inc. <hi@acme.example>", '"Acme, Inc." <hi@acme.example>'),
        ("Zoë <zoe@acme.example>", "Zoë <zoe@acme.example>"),
        ("Zoë, Inc <zoe@acme.example>", '"Zoë, Inc" <zoe@acme.example>'),
        ("<ada@acme.example>", "ada@acme.example"),
        ("Ada\r\nBcc: x <ada@acme.example>", '"Ada Bcc: x" <ada@acme.example>'),
    ],
)
def test_one_mailbox(text: str, mailbox: str) -> None:
    assert one_mailbox(text) == mailbox


@pytest.mark.parametrize(
    "text",
    ["Ada <a@x.example>, Eve <e@x.example>", "a@x.example, e@x.example", "Ada <a@x.example", 'A "b <a@x.example>'],
)
def test_two_mailboxes_are_refused(text: str) -> None:
    with pytest.raises(InvalidAddress):
        one_mailbox(text)


@given(st.text(max_size=400))
def test_a_line_is_one_line_in_a_real_header(text: str) -> None:
    line = clean_line(text, 255)
    assert len(line) <= 255
    message = EmailMessage(policy=SMTP)
    message["Subject"] = line
    message["To"] = "ada@example.com"
    read = BytesParser(policy=SMTP).parsebytes(message.as_bytes())
    assert read.keys() == ["Subject", "To"]
    assert not any(ord(char) < 32 or 0x202A <= ord(char) <= 0x202E for char in line)


def test_a_long_line_is_cut_visibly() -> None:
    assert clean_line("x" * 300, 255) == "x" * 254 + "…"
    assert clean_line("  a\r\n\tb\x00c\u202e ") == "a b c"


@given(st.text(max_size=60), st.text(max_size=60))
def test_whatever_passes_is_one_recipient(local: str, domain: str) -> None:
    try:
        address = one_address(f"{local}@{domain}")
    except InvalidAddress:
        return
    message = EmailMessage(policy=SMTP)
    message["To"] = address
    read = BytesParser(policy=SMTP).parsebytes(message.as_bytes())
    assert [item.addr_spec for item in read["To"].addresses] == [address]
    assert address.isascii()
