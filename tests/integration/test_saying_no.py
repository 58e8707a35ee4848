"""People say no by the links in their mails: over real HTTP, on a real ledger."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import psycopg
import pytest
import uvicorn

from skene_airflow.channels import Channel
from skene_airflow.feedback.shelf import Shelf
from skene_airflow.ledger import Ledger
from skene_airflow.message.links import Signer
from skene_airflow.testing import ResendServer
from skene_airflow.web.public import public_app
from tests.integration.shop import LOOP, SETTINGS, Shop, everybody, mailed

ONE_CLICK = {"List-Unsubscribe": "One-Click"}


@pytest.fixture
def site(shop: Shop) -> Iterator[str]:
    """The public pages of the shop, really listening; the path of base_url is kept, as some proxies do."""
    (shop.folder / "_topics.yaml").write_text("product_tips: Tips & tricks\nnews: News\n", encoding="utf-8")
    shelf = Shelf(lambda: Ledger(lambda: psycopg.connect(shop.uri)))
    app = public_app(
        replace(SETTINGS, loops_folder=str(shop.folder), secret_keys=("new", *SETTINGS.secret_keys)), shelf
    )
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="off", ws="none"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        while not server.started:
            time.sleep(0.01)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/skene"
        server.should_exit = True
        thread.join()
    shelf.close()


def links(shop: Shop, server: ResendServer, site: str) -> dict[str, str]:
    """Address → the link in the header of the mail, as the provider got it."""
    found = {}
    for mail in server.accepted:
        assert mail.mail is not None
        header = mail.mail["headers"]["List-Unsubscribe"]
        assert mail.mail["headers"]["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
        assert "\n" not in header
        assert header[1:-1] in mail.mail["html"]
        assert "example.com" not in header
        found[mail.to] = header[1:-1].replace(SETTINGS.base_url, site)
    return found


def scopes(shop: Shop) -> list[tuple[str, str]]:
    rows = shop.sql("SELECT user_key, scope FROM skene.suppressions ORDER BY 1, 2")
    return [(row["user_key"], row["scope"]) for row in rows]


def test_a_look_changes_nothing_and_one_click_ends_it(
    shop: Shop, server: ResendServer, resend: Channel, site: str
) -> None:
    shop.dormant(2)
    shop.run(resend)
    link = links(shop, server, site)["user1@example.com"]
    page = httpx.get(link)
    assert page.status_code == 200
    assert "Unsubscribe?" in page.text
    assert "Acme" in page.text
    assert "1 Main St" in page.text
    assert httpx.head(link).status_code == 200
    assert scopes(shop) == []
    for _ in range(2):
        done = httpx.post(link, data=ONE_CLICK)
        assert (done.status_code, done.is_redirect) == (200, False)
        assert "You are unsubscribed" in done.text
    assert scopes(shop) == [("1", "marketing")]
    said = shop.sql("SELECT user_key FROM skene.deliveries_v WHERE unsubscribed_at IS NOT NULL")
    assert [row["user_key"] for row in said] == ["1"]
    # Another loop, with the same people: the one who said no is left out.
    loop = shop.loop(name="another")
    shop.run(resend, shop.job(loop=loop))
    assert mailed(server) == everybody(2) + everybody(1, first=2)


def test_a_multipart_one_click_is_understood(shop: Shop, server: ResendServer, resend: Channel, site: str) -> None:
    shop.dormant(1)
    shop.run(resend)
    part = {"List-Unsubscribe": (None, "One-Click")}
    assert httpx.post(links(shop, server, site)["user1@example.com"], files=part).status_code == 200
    assert scopes(shop) == [("1", "marketing")]


def test_topics_are_refused_one_by_one_and_taken_back(
    shop: Shop, server: ResendServer, resend: Channel, site: str
) -> None:
    shop.dormant(1)
    shop.run(resend, shop.job(loop=shop.loop("topic: product_tips\n" + LOOP)))
    link = links(shop, server, site)["user1@example.com"]
    assert "Tips &amp; tricks" in httpx.get(link).text
    httpx.post(link, data=ONE_CLICK)
    assert scopes(shop) == [("1", "topic:product_tips")]
    httpx.post(link, data={"choice": "save", "topic": ["product_tips", "unheard_of"]})
    assert scopes(shop) == [("1", "topic:news")]
    httpx.post(link, data={"choice": "all"})
    assert ("1", "marketing") in scopes(shop)
    httpx.post(link, data={"choice": "again"})
    assert scopes(shop) == [("1", "topic:news")]
    shop.sql("INSERT INTO skene.suppressions (user_key, scope, reason, source) VALUES ('1', 'all', 'manual', 'x')")
    httpx.post(link, data={"choice": "again"})
    assert ("1", "all") in scopes(shop)


@pytest.mark.parametrize("harm", ["cut", "forged", "longer", "foreign", "empty scope"])
def test_a_token_that_is_not_ours_does_nothing(
    shop: Shop, server: ResendServer, resend: Channel, site: str, harm: str
) -> None:
    shop.dormant(1)
    shop.run(resend)
    link = links(shop, server, site)["user1@example.com"]
    token = link.rpartition("/")[2]
    bad = {
        "cut": token[:-1],
        "forged": ("B" if token[8] == "A" else "A").join((token[:8], token[9:])),
        "longer": token + "A" * 500,
        "foreign": Signer(("another secret",)).token(1, "marketing"),
        "empty scope": "é" * 60,
    }[harm]
    for answer in (httpx.get(f"{site}/u/{bad}"), httpx.post(f"{site}/u/{bad}", data=ONE_CLICK)):
        assert answer.status_code == 404
        assert "does not work" in answer.text
    assert scopes(shop) == []


def test_a_signed_link_of_no_delivery_and_of_redirected_mail_is_answered_and_ends_nothing(
    shop: Shop, server: ResendServer, resend: Channel, site: str
) -> None:
    shop.dormant(1)
    shop.run(resend)
    shop.sql("UPDATE skene.deliveries SET mode = 'redirect'")
    stranger = Signer(("new",)).token(10**12, "marketing")
    for link in (links(shop, server, site)["user1@example.com"], f"{site}/u/{stranger}"):
        assert httpx.post(link, data=ONE_CLICK).status_code == 200
    assert scopes(shop) == []


def test_the_plugin_serves_the_same_pages_in_airflow(
    shop: Shop, server: ResendServer, resend: Channel, tmp_path: Path
) -> None:
    shop.dormant(1)
    shop.run(resend)
    path = urlsplit(next(iter(links(shop, server, SETTINGS.base_url).values()))).path
    connection = json.dumps({"conn_type": "postgres", "extra": {}} | shop_connection(shop))
    environment = os.environ | {
        "AIRFLOW_HOME": str(tmp_path),
        "AIRFLOW__SKENE__SECRET_KEY": SETTINGS.secret_keys[0],
        "AIRFLOW__SKENE__FROM_EMAIL": SETTINGS.from_email,
        "AIRFLOW_CONN_SKENE_SOURCE": connection,
    }
    done = subprocess.run(
        [sys.executable, "-c", MOUNTED, path], env=environment, capture_output=True, text=True, check=False, timeout=150
    )
    assert done.stdout.split()[-3:] == ["True", "200", "200"], done.stderr[-3000:]
    assert scopes(shop) == [("1", "marketing")]


def shop_connection(shop: Shop) -> dict[str, object]:
    facts = psycopg.conninfo.conninfo_to_dict(shop.uri)
    names = {"host": "host", "user": "login", "password": "password", "dbname": "schema", "port": "port"}
    return {ours: facts[theirs] for theirs, ours in names.items() if facts.get(theirs)}


# As Airflow's API server does it: the entry point's apps are mounted at their prefixes.
MOUNTED = """
import asyncio, sys
from importlib.metadata import entry_points
import httpx
from starlette.applications import Starlette
from starlette.routing import Mount
plugin = next(e for e in entry_points(group="airflow.plugins") if e.name == "skene").load()
lazy = "skene_airflow.web.public" not in sys.modules
[entry] = plugin.fastapi_apps
app = Starlette(routes=[Mount(entry["url_prefix"], entry["app"])])
async def main():
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://x") as client:
        page = await client.get(sys.argv[1])
        done = await client.post(sys.argv[1], data={"List-Unsubscribe": "One-Click"})
        print(lazy, page.status_code, done.status_code)
asyncio.run(main())
"""


def test_a_long_body_is_refused(shop: Shop, server: ResendServer, resend: Channel, site: str) -> None:
    shop.dormant(1)
    shop.run(resend)
    answer = httpx.post(links(shop, server, site)["user1@example.com"], content=b"a" * 20_000)
    assert answer.status_code == 413
    assert scopes(shop) == []


def test_only_get_head_and_post_are_understood_and_nobody_is_sent_elsewhere(
    shop: Shop, server: ResendServer, resend: Channel, site: str
) -> None:
    shop.dormant(1)
    shop.run(resend)
    link = links(shop, server, site)["user1@example.com"]
    for method in ("OPTIONS", "PUT", "PATCH", "DELETE", "TRACE", "PROPFIND"):
        assert httpx.request(method, link).status_code == 405
        assert httpx.request(method, f"{site}/resend").status_code == 405
    for method in ("GET", "HEAD"):
        assert httpx.request(method, f"{site}/resend").status_code == 405
        for address in (f"{link}/", f"{site}/u/", f"{site}/u", f"{site}/no.css/", f"{site}//u/x", site):
            assert httpx.request(method, address).status_code == 404
    # A scanner opens every address in the page; the page has none that does something.
    page = httpx.get(link).text
    assert re.findall(r"""(?:href|src|action)=["']?([^"' >]+)""", page) == ["../no.css"]
    assert scopes(shop) == []


def test_two_people_with_one_mailbox_say_no_together(
    shop: Shop, server: ResendServer, resend: Channel, site: str
) -> None:
    shop.dormant(1)
    shop.run(resend)
    shop.sql("INSERT INTO users SELECT 2, 'USER1@example.com', 'Two', last_activity_at FROM users")
    link = links(shop, server, site)["user1@example.com"]
    assert httpx.post(link, data=ONE_CLICK).status_code == 200
    outcome = shop.run(resend, shop.job(loop=shop.loop(name="another")))
    assert outcome.verdicts["skip"] == {"unsubscribed": 2}
    # Whoever takes it back does so for the mailbox: the other one is known by it alone.
    httpx.post(link, data={"choice": "again"})
    outcome = shop.run(resend, shop.job(loop=shop.loop(name="another")))
    assert outcome.verdicts["skip"] == {"duplicate_address": 1}
    assert scopes(shop) == []


def test_people_can_say_no_while_the_titles_are_broken(
    shop: Shop, server: ResendServer, resend: Channel, site: str
) -> None:
    shop.dormant(1)
    shop.run(resend, shop.job(loop=shop.loop("topic: product_tips\n" + LOOP)))
    (shop.folder / "_topics.yaml").write_text("product_tips: [oh\n", encoding="utf-8")
    link = links(shop, server, site)["user1@example.com"]
    assert "Product tips" in httpx.get(link).text
    assert httpx.post(link, data=ONE_CLICK).status_code == 200
    assert scopes(shop) == [("1", "topic:product_tips")]
