"""Calls signed by the libraries of those who wrote the scheme, and harmed calls: all of them and we agree on each."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

import pytest
import resend as sdk
import standardwebhooks
import svix.webhooks
from hypothesis import given
from hypothesis import strategies as st

from skene_airflow.feedback.resend import ResendReceiver
from skene_airflow.testing.resend_events import new_secret, sign

SECRET, OLD, STRANGE = new_secret(), new_secret(), new_secret()
Sign = Callable[[str, str, int, str], str]


def by_svix(secret: str, message_id: str, stamp: int, body: str) -> str:
    return svix.webhooks.Webhook(secret).sign(message_id, datetime.fromtimestamp(stamp, UTC), body)


def by_standard(secret: str, message_id: str, stamp: int, body: str) -> str:
    return standardwebhooks.Webhook(secret).sign(message_id, datetime.fromtimestamp(stamp, UTC), body)


def by_us(secret: str, message_id: str, stamp: int, body: str) -> str:
    return sign(secret, message_id, stamp, body.encode())


SIGNERS: tuple[Sign, ...] = (by_svix, by_standard, by_us)


def headers(message_id: str, stamp: object, signature: str, prefix: str = "svix") -> dict[str, str]:
    return {f"{prefix}-id": message_id, f"{prefix}-timestamp": str(stamp), f"{prefix}-signature": signature}


def ours(found: Mapping[str, str], body: str | bytes, *secrets: str) -> bool:
    content = body.encode() if isinstance(body, str) else body
    return ResendReceiver().genuine(found, content, secrets or (SECRET,), time.time())


def theirs(found: Mapping[str, str], body: str) -> set[bool]:
    """What the three libraries say; one would do, if they agreed."""
    parts = {name: found.get(f"svix-{name}", "") for name in ("id", "timestamp", "signature")}

    def says(verify: Callable[[], object]) -> bool:
        try:
            verify()
        except Exception:  # noqa: BLE001 - each library has errors of its own, and all of them are a no
            return False
        return True

    return {
        says(lambda: svix.webhooks.Webhook(SECRET).verify(body, dict(found))),
        says(
            lambda: standardwebhooks.Webhook(SECRET).verify(
                body, {f"webhook-{name}": text for name, text in parts.items()}, json_parse=False
            )
        ),
        says(
            lambda: sdk.Webhooks.verify(
                {
                    "payload": body,
                    "headers": {
                        "id": parts["id"],
                        "timestamp": parts["timestamp"],
                        "signature": parts["signature"],
                    },
                    "webhook_secret": SECRET,
                }
            )
        ),
    }


@pytest.mark.parametrize("signer", SIGNERS)
@pytest.mark.parametrize(
    "body", ["{}", '{"subject":"Grüße, 世界 🎉"}', '{"a":"\\u2028\\n"}\n', json.dumps("x" * 100_000)]
)
def test_whoever_signs_is_believed(signer: Sign, body: str) -> None:
    now = int(time.time())
    found = headers("msg_1", now, signer(SECRET, "msg_1", now, body))
    assert ours(found, body)
    assert theirs(found, body) == {True}


def test_the_headers_of_the_standard_are_read_too() -> None:
    now = int(time.time())
    found = headers("msg_1", now, by_standard(SECRET, "msg_1", now, "{}"), "webhook")
    assert ours(found, "{}")
    assert ResendReceiver().read(found, b'{"type":"email.sent"}')[0].event_id == "msg_1"
    # The name that is verified is the name that is read: one set of headers cannot speak for the other.
    both = found | headers("msg_2", now, "v1,AAAA")
    assert not ours(both, "{}")


@pytest.mark.parametrize(
    ("harm", "expected"),
    [
        ("nothing", True),
        ("several signatures", True),
        ("the other way round", True),
        ("of another version", False),
        ("the body cut", False),
        ("the body longer", False),
        ("another id", False),
        ("another time", False),
        ("too old", False),
        ("too new", False),
        ("just in time", True),
        ("signature cut", False),
        ("signature swapped", False),
        ("another secret", False),
        ("no signature", False),
        ("no id", False),
        ("no time", False),
    ],
)
def test_harmed_calls(harm: str, expected: bool) -> None:
    now, body = int(time.time()), '{"type":"email.complained","data":{"to":["grüße@example.com"]}}'
    stamp = now + {"too old": -320, "too new": 320, "just in time": -280}.get(harm, 0)
    good = by_svix(SECRET, "msg_1", stamp, body)
    other = by_svix(STRANGE, "msg_1", stamp, body)
    signature = {
        "several signatures": f"{other} {good}",
        "the other way round": f"{good} {other}",
        "of another version": good.replace("v1,", "v2,"),
        "signature cut": good[:-8],
        "signature swapped": good.swapcase().replace("V1,", "v1,"),
        "another secret": other,
        "no signature": "",
    }.get(harm, good)
    sent = {"the body cut": body[:-1], "the body longer": body + " "}.get(harm, body)
    found = headers(
        {"another id": "msg_2", "no id": ""}.get(harm, "msg_1"),
        {"another time": stamp + 1, "no time": ""}.get(harm, stamp),
        signature,
    )
    assert ours(found, sent) is expected
    # Resend's own SDK alone does not look at the version of a signature.
    assert theirs(found, sent) == ({True, False} if harm == "of another version" else {expected})


def test_secrets_overlap_while_one_is_changed() -> None:
    now = int(time.time())
    for secret in (SECRET, OLD):
        assert ours(headers("m", now, by_svix(secret, "m", now, "{}")), "{}", SECRET, OLD)
    assert not ours(headers("m", now, by_svix(OLD, "m", now, "{}")), "{}", SECRET)
    assert not ResendReceiver().genuine(headers("m", now, by_svix(SECRET, "m", now, "{}")), b"{}", (), time.time())


def test_a_secret_without_padding_is_one() -> None:
    now, secret = int(time.time()), "whsec_" + "MDEyMzQ1Njc4OWFiY2RlZjAx"[:22]  # as some tools write them
    assert ours(headers("m", now, by_svix(secret, "m", now, "{}")), "{}", secret)


@given(st.binary(max_size=300), st.text(max_size=80), st.text(max_size=30), st.text(max_size=300))
def test_nobody_is_believed_by_chance(body: bytes, message_id: str, stamp: str, signature: str) -> None:
    now = str(int(time.time()))
    for time_ in (stamp, now):
        assert not ours(headers(message_id, time_, signature), body)
        assert not ours(headers(message_id, time_, f"v1,{signature}"), body)


@given(st.text(max_size=200), st.text(alphabet=st.characters(codec="ascii", min_codepoint=33), min_size=1, max_size=60))
def test_all_agree_on_any_text(text: str, message_id: str) -> None:
    now, body = int(time.time()), json.dumps({"subject": text}, ensure_ascii=False).encode("utf-8", "replace").decode()
    found = headers(message_id, now, by_standard(SECRET, message_id, now, body))
    assert ours(found, body)
    assert theirs(found, body) == {True}
