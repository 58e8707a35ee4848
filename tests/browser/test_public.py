"""The page behind the link in a mail, in a real Chromium: used by mouse on a desktop and by thumb on a phone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from skene_airflow.channels import ChannelConfig, make_channel
from skene_airflow.ledger import Ledger
from skene_airflow.message.links import Signer
from skene_airflow.testing import ResendServer
from tests.browser.conftest import Page, until
from tests.integration.shop import LOOP, USERS, Shop

Serve = Callable[..., str]
SIZES = [(1440, False), (390, True), (320, True)]
KEY = "a long random text"
TOPICS = f"product_tips: Tips for the product\nnews: News from Acme\nevents: {'Invitations to events near you, ' * 3}\n"


@pytest.fixture
def shop(pg: str, tmp_path: Path) -> Iterator[Shop]:
    """One person was mailed about product tips."""
    folder = tmp_path / "loops"
    folder.mkdir()
    (folder / "_topics.yaml").write_text(TOPICS, encoding="utf-8")
    with closing(Ledger(lambda: psycopg.connect(pg))) as ledger, ResendServer() as server:
        shop = Shop(pg, folder, ledger)
        shop.sql(USERS)
        shop.template()
        shop.dormant(1)
        with make_channel(ChannelConfig("resend", host=server.url, password="re_test")) as resend:
            shop.run(resend, shop.job(loop=shop.loop("topic: product_tips\n" + LOOP)))
        yield shop


@pytest.fixture
def link(serve: Serve, shop: Shop) -> str:
    """The link of that mail, at `skene-airflow web`."""
    [row] = shop.sql("SELECT delivery_id FROM skene.deliveries")
    site = serve(shop.folder, "--ledger", shop.uri, verb="web")
    return f"{site}u/{Signer((KEY,)).token(row['delivery_id'], 'product_tips')}"


def heading(page: Page) -> str:
    return str(page.run("document.querySelector('h1')?.textContent.replace('✓', '').trim()"))


def press(page: Page, choice: str) -> None:
    page.run(f"document.querySelector('button[value={choice}]').click()")


def scopes(shop: Shop) -> set[str]:
    return {row["scope"] for row in shop.sql("SELECT scope FROM skene.suppressions")}


@pytest.mark.parametrize(("width", "phone"), SIZES)
def test_people_say_no_choose_and_come_back(
    shop: Shop, link: str, page: Page, tmp_path: Path, width: int, *, phone: bool
) -> None:
    page.size(width, 800, phone=phone)
    page.go(link)
    assert heading(page) == "Unsubscribe?"
    assert scopes(shop) == set()
    fits(page, width)
    press(page, "no")
    until(lambda: heading(page) == "You are unsubscribed", "the answer")
    assert scopes(shop) == {"topic:product_tips"}
    fits(page, width)
    assert page.run("[...document.querySelectorAll('input')].map(box => box.checked)") == [False, True, True]
    page.run("document.querySelectorAll('label')[1].click()")
    press(page, "save")
    until(lambda: scopes(shop) == {"topic:product_tips", "topic:news"}, "the choice to be saved")
    press(page, "again")
    until(lambda: heading(page) == "Your choice is saved", "the way back")
    assert scopes(shop) == {"topic:news"}
    press(page, "all")
    until(lambda: "marketing mail any more" in (page.run("document.body.textContent") or ""), "the end of all mail")
    assert scopes(shop) == {"topic:news", "marketing"}
    fits(page, width)
    assert len(page.picture(tmp_path / "page.png")) > 3_000


def fits(page: Page, width: int) -> None:
    """Nothing stands outside, what can be pressed is as large as a thumb, and nothing runs."""
    assert page.run("document.documentElement.scrollWidth") <= width
    heights = page.run("[...document.querySelectorAll('button, label')].map(e => e.getBoundingClientRect().height)")
    assert min(heights) >= 44
    assert page.run("document.scripts.length") == 0
    assert page.run("getComputedStyle(document.querySelector('main')).maxWidth") == "480px", "the style is not loaded"


def test_a_link_that_was_cut_says_so(link: str, page: Page) -> None:
    page.size(390, 800, phone=True)
    page.go(link[:-5])
    assert heading(page) == "This link does not work"
    assert page.run("document.querySelectorAll('form').length") == 0
