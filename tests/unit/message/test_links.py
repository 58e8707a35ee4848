"""Tokens: only what a key signed is read, and nothing personal stands in them."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skene_airflow.errors import SettingsError
from skene_airflow.message.links import Signer, safe_link, unsubscribe_url

SIGNER = Signer(("first key", "second key"))
IDS = st.integers(min_value=0, max_value=2**63 - 1)


@given(IDS, st.text(max_size=40).filter(lambda text: text.isprintable()))
def test_what_is_signed_is_read(delivery_id: int, scope: str) -> None:
    assert SIGNER.read(SIGNER.token(delivery_id, scope)) == (delivery_id, scope)


def test_a_token_is_url_safe_and_stable() -> None:
    token = SIGNER.token(7, "marketing")
    assert token == SIGNER.token(7, "marketing")
    assert token.replace("-", "").replace("_", "").isalnum()
    assert unsubscribe_url("https://acme.example/skene/", token) == f"https://acme.example/skene/u/{token}"


def test_each_changed_byte_is_refused() -> None:
    token = SIGNER.token(7, "marketing")
    raw = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
    for index in range(len(raw)):
        forged = bytearray(raw)
        forged[index] ^= 1
        assert SIGNER.read(base64.urlsafe_b64encode(bytes(forged)).rstrip(b"=").decode()) is None


def test_each_truncated_token_is_refused() -> None:
    token = SIGNER.token(7, "marketing")
    assert all(SIGNER.read(token[:length]) is None for length in range(len(token)))
    assert all(SIGNER.read(token[start:]) is None for start in range(1, len(token)))


def test_a_token_has_one_spelling() -> None:
    token = SIGNER.token(7, "marketing")
    for other in (f"{token}=", f"{token}==", f" {token}", f"{token}\n", token + "A", token.swapcase()):
        assert SIGNER.read(other) is None
    spare = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    assert sum(SIGNER.read(token[:-1] + last) is not None for last in spare) == 1


@given(st.text(max_size=500))
def test_nothing_else_is_read(token: str) -> None:
    assert SIGNER.read(token) is None


def test_keys_rotate() -> None:
    old, both, new = Signer(("old",)), Signer(("new", "old")), Signer(("new",))
    token = old.token(1, "m")
    assert both.read(token) == (1, "m")
    assert new.read(token) is None
    assert new.read(both.token(1, "m")) == (1, "m")
    assert old.read(both.token(1, "m")) is None


def test_keys_are_needed_and_never_shown() -> None:
    for keys in ((), ("",), ("good", "  ")):
        with pytest.raises(SettingsError, match="secret_key"):
            Signer(keys)
    assert "first key" not in repr(SIGNER)


@pytest.mark.parametrize("url", ["https://acme.example", "HTTPS://x.example/a?b=c", "mailto:hi@acme.example", "#top"])
def test_safe_links(url: str) -> None:
    assert safe_link(url)


@pytest.mark.parametrize(
    "url",
    ["javascript:alert(1)", " javascript:alert(1)", "java\nscript:x", "data:text/html,x", "//acme.example", "/path",
     "vbscript:x", "http://x.example", "https:", "https://", "http:///x", "https://a.example/\x00", "", "tel:1"],
)  # fmt: skip
def test_other_links_are_not(url: str) -> None:
    assert not safe_link(url)
