"""What the provider tells, by real HTTP and signatures of Resend's own kind, on a real ledger."""

from __future__ import annotations

import asyncio
import itertools
import json
import socket
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import psycopg
import pytest
import resend as sdk
import svix.webhooks
import uvicorn

from skene_airflow.channels import Channel
from skene_airflow.errors import SettingsError
from skene_airflow.feedback.resend import ResendReceiver
from skene_airflow.feedback.shelf import Shelf
from skene_airflow.ledger import Ledger, events
from skene_airflow.testing.resend_events import new_secret, sign
from skene_airflow.web.public import public_app
from tests.integration.shop import SETTINGS, Shop

SECRET, OLD = new_secret(), new_secret()


@pytest.fixture
def site(shop: Shop) -> Iterator[str]:
    """The place where Resend posts, really listening."""

    def secrets(conn_id: str) -> tuple[str, ...]:
        if conn_id != "resend_default":
            raise SettingsError("no such connection")
        return (SECRET, OLD)

    shelf = Shelf(lambda: Ledger(lambda: psycopg.connect(shop.uri)))
    app = public_app(SETTINGS, shelf, secrets)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="off", ws="none"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        while not server.started:
            time.sleep(0.01)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/resend"
        server.should_exit = True
        thread.join()
    shelf.close()


@pytest.fixture
def sent(shop: Shop, resend: Channel, site: str) -> dict[str, Any]:
    """One mail that Resend took."""
    shop.dormant(1)
    shop.run(resend)
    [row] = shop.sql("SELECT * FROM skene.deliveries")
    return row


def body(row: dict[str, Any], name: str, minute: int = 0, **more: Any) -> bytes:
    data = {
        "email_id": row["provider_message_id"],
        "to": [row["address"]],
        "tags": {"sk_delivery": str(row["delivery_id"]), "sk_loop": row["loop_id"], "sk_step": row["step_id"]},
    }
    return json.dumps({"type": name, "created_at": f"2026-01-01T10:{minute:02}:00Z", "data": data | more}).encode()


def post(site: str, content: bytes, event_id: str = "msg_1", secret: str = SECRET, off: int = 0) -> int:
    stamp = int(time.time()) + off
    headers = {
        "svix-id": event_id,
        "svix-timestamp": str(stamp),
        "svix-signature": "v1,AAAA v2,b " + sign(secret, event_id, stamp, content),
    }
    return httpx.post(site, content=content, headers=headers).status_code


def suppressed(shop: Shop) -> list[tuple[Any, ...]]:
    rows = shop.sql("SELECT user_key, scope, reason, address_hmac IS NOT NULL AS address FROM skene.suppressions")
    return [tuple(row.values()) for row in rows]


def test_what_is_not_signed_now_is_not_heard(shop: Shop, sent: dict[str, Any], site: str) -> None:
    content = body(sent, "email.complained")
    assert httpx.post(site, content=content).status_code == 401
    assert post(site, content, secret=new_secret()) == 401
    assert post(site, content, off=-320) == 401
    assert post(site, content, off=320) == 401
    assert post(site + "/other", content) == 401
    assert post(site, b"a" * 262_145) == 413
    assert post(site, b"[1") == 400
    assert shop.sql("SELECT * FROM skene.events") == []
    assert post(site, content, secret=OLD, off=-250) == 204
    assert suppressed(shop) == [("1", "marketing", "complained", True)]


def test_the_sdk_agrees_on_what_is_genuine() -> None:
    content, stamp = b'{"type":"email.sent"}', int(time.time())
    good = {"svix-id": "m", "svix-timestamp": str(stamp), "svix-signature": sign(SECRET, "m", stamp, content)}
    for harmed in ({}, {"svix-id": "n"}, {"svix-signature": good["svix-signature"][:-4]}, {"svix-timestamp": "1"}):
        headers = good | harmed
        try:
            sdk.Webhooks.verify(
                {
                    "payload": content.decode(),
                    "headers": {
                        "id": headers["svix-id"],
                        "timestamp": headers["svix-timestamp"],
                        "signature": headers["svix-signature"],
                    },
                    "webhook_secret": SECRET,
                }
            )
            theirs = True
        except ValueError:
            theirs = False
        assert ResendReceiver().genuine(headers, content, [SECRET], time.time()) is theirs is (harmed == {})


def test_any_order_and_any_number_of_times_gives_the_same(shop: Shop, sent: dict[str, Any], site: str) -> None:
    shop.ledger.close()
    names = ("delivered", "opened", "clicked")
    calls = [(body(sent, f"email.{name}", minute), f"m{minute}") for minute, name in enumerate(names)]
    calls.append((body(sent, "email.opened", 30), "again"))
    seen = set()
    for order in itertools.permutations(calls):
        shop.sql("DELETE FROM skene.events RETURNING 1")
        shop.sql("UPDATE skene.deliveries SET delivered_at = NULL, opened_at = NULL, clicked_at = NULL RETURNING 1")
        for content, event_id in (*order, order[0]):
            assert post(site, content, event_id) == 204
        [row] = shop.sql("SELECT delivered_at, opened_at, clicked_at FROM skene.deliveries_v")
        [count] = shop.sql("SELECT count(*) AS n FROM skene.events")
        seen.add((*(at.astimezone(UTC).minute for at in row.values()), count["n"]))
    assert seen == {(0, 1, 2, 4)}


def test_bounces_stop_the_address(shop: Shop, resend: Channel, sent: dict[str, Any], site: str) -> None:
    def bounce(number: int, days: int, kind: str = "Transient") -> None:
        at = (datetime.now(UTC) - timedelta(days=days)).isoformat()
        told = json.loads(body(sent, "email.bounced", bounce={"type": kind})) | {"created_at": at}
        assert post(site, json.dumps(told).encode(), f"m{number}") == 204

    # Not three on one day, nor three over a long time, nor what nobody could determine.
    for number, days in enumerate((0, 0, 0, 5, 31)):
        bounce(number, days)
    bounce(5, 4, "Undetermined")
    assert suppressed(shop) == []
    bounce(6, 29)
    [row] = shop.sql("SELECT expires_at - now() AS rest FROM skene.suppressions")
    assert timedelta(days=29) < row["rest"] <= timedelta(days=30)
    assert shop.run(resend, shop.job(loop=shop.loop(name="another"))).verdicts["skip"] == {"suppressed": 1}
    # It rests, and is then tried again.
    shop.sql("UPDATE skene.suppressions SET expires_at = now()")
    assert shop.run(resend, shop.job(loop=shop.loop(name="later"))).statuses == {"sent": 1}
    bounce(7, 0, "Permanent")
    assert shop.sql("SELECT expires_at FROM skene.suppressions") == [{"expires_at": None}]
    bounce(8, 1)
    assert shop.sql("SELECT expires_at FROM skene.suppressions") == [{"expires_at": None}]
    assert suppressed(shop) == [(None, "all", "bounced", True)]


def test_what_the_provider_itself_holds_back_rests(shop: Shop, sent: dict[str, Any], site: str) -> None:
    told = body(sent, "email.suppressed", suppressed={"type": "OnAccountSuppressionList", "message": "held back"})
    assert post(site, told) == 204
    assert suppressed(shop) == [(None, "all", "bounced", True)]
    [row] = shop.sql("SELECT expires_at IS NULL AS for_good, source FROM skene.suppressions")
    assert tuple(row.values()) == (False, "resend email.suppressed")


def test_what_is_uncertain_is_settled_now_or_by_upkeep(shop: Shop, sent: dict[str, Any], site: str) -> None:
    doubt = "UPDATE skene.deliveries SET status = 'uncertain', sent_at = NULL, provider_message_id = NULL RETURNING 1"
    shop.sql("ALTER TABLE skene.deliveries DISABLE TRIGGER deliveries_transition")
    shop.sql(doubt)
    assert post(site, body(sent, "email.failed"), "no proof") == 204
    assert shop.statuses() == {"uncertain": 1}
    assert post(site, body(sent, "email.sent"), "proof") == 204
    assert shop.statuses() == {"sent": 1}
    [row] = shop.sql("SELECT provider_message_id FROM skene.deliveries")
    assert row["provider_message_id"] == sent["provider_message_id"]
    shop.sql(doubt)
    assert post(site, body(sent, "email.suppressed"), "taken and held back") == 204
    assert shop.statuses() == {"sent": 1}
    shop.sql(doubt)
    assert events.settle(shop.ledger) == 1
    assert shop.statuses() == {"sent": 1}


def test_what_is_about_another_deployments_mail_is_stored_and_changes_nothing(
    shop: Shop, sent: dict[str, Any], site: str
) -> None:
    for number, change in enumerate(({"address": "other@example.com"}, {"loop_id": "x"}, {"delivery_id": "x" * 300})):
        assert post(site, body(sent | change, "email.complained"), f"m{number}") == 204
    assert post(site, b'{"type":"brand.new","data":null}', "new") == 204
    assert suppressed(shop) == []
    rows = shop.sql("SELECT type, delivery_id FROM skene.events ORDER BY received_at")
    assert [row["delivery_id"] for row in rows] == [None] * 4
    assert rows[-1]["type"] == "brand.new"
    assert "example.com" not in str(shop.sql("SELECT * FROM skene.events"))


def test_strangers_cannot_make_us_look_up_names_for_ever() -> None:
    asked: list[str] = []

    def secrets(conn_id: str) -> tuple[str, ...]:
        asked.append(conn_id)
        if conn_id != "resend_default":
            raise SettingsError("no such connection")
        return (SECRET,)

    shelf = Shelf(lambda: pytest.fail("nobody needs the ledger"))
    app = public_app(SETTINGS, shelf, secrets)

    async def calls() -> list[int]:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://x") as client:
            names = ["/resend", *(f"/resend/name{number}" for number in range(300)), "/resend"]
            return [(await client.post(name, content=b"{}")).status_code for name in names]

    assert asyncio.run(calls()) == [401] + [401] * 99 + [503] * 201 + [401]
    assert len(asked) == 100


def test_calls_that_svix_itself_signs_are_heard_once_each(shop: Shop, sent: dict[str, Any], site: str) -> None:
    content = body(sent, "email.delivered", subject="Grüße 世界 🎉")
    content = json.dumps(json.loads(content), ensure_ascii=False).encode()
    signer = svix.webhooks.Webhook(SECRET)
    for again in range(3):  # the id stays, the time is that of the try
        at = datetime.now(UTC) - timedelta(seconds=again)
        signature = signer.sign("msg_svix", at, content.decode())
        names = ("svix", "webhook")[again % 2]
        found = {"id": "msg_svix", "timestamp": str(int(at.timestamp())), "signature": f"v1,AAAA {signature}"}
        headers = {f"{names}-{name}": value for name, value in found.items()}
        assert httpx.post(site, content=content, headers=headers).status_code == 204
        assert httpx.post(site, content=content[:-1], headers=headers).status_code == 401
    assert shop.sql("SELECT event_id, type FROM skene.events") == [{"event_id": "msg_svix", "type": "email.delivered"}]
    assert shop.sql("SELECT delivered_at IS NOT NULL AS told FROM skene.deliveries_v") == [{"told": True}]
