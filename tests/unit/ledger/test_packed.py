"""A frozen body comes back to the byte, also one that was kept before bodies were packed."""

from __future__ import annotations

import pytest

from skene_airflow.ledger.packed import pack, unpack


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"x\x01 begins like zlib", bytes(range(256)) * 700, b"<p>Hi</p>" * 20_000]
)
def test_the_same_bytes_come_back(body: bytes) -> None:
    assert unpack(pack(body)) == body


@pytest.mark.parametrize("body", [b'[{"to":["a@b.example"]}]', b"From: a@b.example\r\n\r\nHi", b"!invalid_recipient"])
def test_a_body_kept_as_it_was_is_still_sent(body: bytes) -> None:
    assert unpack(body) == body


def test_a_hundred_mails_of_one_template_are_nearly_one_mail() -> None:
    mails = b",\n".join(b'{"html":"<p>Hi %d</p>%s"}' % (n, b"<p>The same for everybody.</p>" * 40) for n in range(100))
    assert len(pack(mails)) < len(mails) / 20
