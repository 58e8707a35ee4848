"""The preview, looked at in a real Chromium at desktop and phone width."""

from __future__ import annotations

import shutil
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.browser.conftest import ROOT, Page, until

Serve = Callable[..., str]
LOOP = """\
type: retention
opinion: People who left come back when somebody writes to them
steps:
  - trigger: {type: schedule, cron: "0 9 * * *"}
    condition: SELECT * FROM users
    action: {type: email, template: TEMPLATE}
"""


@pytest.fixture
def loops(tmp_path: Path) -> Path:
    """The reference loop, one in two languages, one with a mail that has troubles, and a broken one."""
    root = tmp_path / "loops"
    shutil.copytree(ROOT / "loops", root)
    mails = {
        "hello.html": "<h1>Hello {{ user.name }}</h1>",
        "hello.de.html": "<h1>Hallo {{ user.name }}</h1>",
        "rough.html": '<a href="#nowhere">a</a> <a href="http://acme.example">b</a>'
        '<img src="https://acme.example/x.png" width="4000" alt="">'
        "<script>parent.document.title = 'taken'; document.title = 'taken'</script>"
        '<p onclick="parent.document.title = 1">{{ user.name }}</p>',
    }
    for name, body in mails.items():
        (root / "templates" / name).write_text(f"---\nsubject: About {name}\n---\n{body}", encoding="utf-8")
        if "." not in name.removesuffix(".html"):
            (root / name).with_suffix(".yaml").write_text(LOOP.replace("TEMPLATE", name[:-5]), encoding="utf-8")
    (root / "wrong.yaml").write_text("type: retention\nstepz: []\n", encoding="utf-8")
    return root


FRAME = "document.querySelector('iframe').contentDocument"


def test_every_loop_is_there_and_the_mail_is_shown_twice(serve: Serve, loops: Path, page: Page, tmp_path: Path) -> None:
    address = serve(loops)
    page.size(1440, 900)
    page.go(f"{address}?loop=re_engagement")
    names = page.run("[...document.querySelectorAll('.side li > a')].map(a => a.textContent.trim().split(/\\s/)[0])")
    sound = sorted(path.stem for path in loops.glob("[!_]*.yaml") if path.stem != "wrong")
    assert {"hello", "re_engagement", "rough"} < set(sound)
    assert names == [*sound, "loops/wrong.yaml"]
    assert page.run("document.querySelector('h1').textContent") == "We miss you, Ada"
    widths = page.run("[...document.querySelectorAll('iframe')].map(f => f.contentWindow.innerWidth)")
    assert len(widths) == 2
    assert widths[0] > 500
    assert widths[1] == 390
    until(lambda: page.run(f"{FRAME}.querySelector('.button').getBoundingClientRect().width > 50"), "the button")
    assert page.run("document.querySelector('#remarks').textContent.trim()") == "Nothing to complain about."
    assert page.run("document.querySelector('#size').value") > 1000
    assert len(page.picture(tmp_path / "desktop.png")) > 10_000


@pytest.mark.parametrize(("width", "phone"), [(1440, False), (1024, False), (390, True), (320, True)])
def test_nothing_stands_outside_the_page(serve: Serve, loops: Path, page: Page, width: int, *, phone: bool) -> None:
    address = serve(loops)
    page.size(width, 844, phone=phone)
    for view in ("both", "text", "headers", "html"):
        page.go(f"{address}?loop=re_engagement&view={view}")
        assert page.run("document.documentElement.scrollWidth") <= width


def test_the_mail_itself_fits_a_phone(serve: Serve, loops: Path, page: Page) -> None:
    address = serve(loops)
    for width in (320, 390, 800):
        page.size(width, 800, phone=width < 500)
        page.go(f"{address}mail?loop=re_engagement")
        assert page.run("document.documentElement.scrollWidth") <= width
    assert page.run("document.querySelector('.sk-card').getBoundingClientRect().width") == 600


def test_it_reloads_when_a_file_is_saved(serve: Serve, loops: Path, page: Page) -> None:
    page.go(f"{serve(loops)}?loop=hello")
    until(lambda: page.run("document.querySelector('#live').classList.contains('on')"), "the line to the files")
    template = loops / "templates" / "hello.html"
    template.write_text("---\nsubject: Saved\n---\n<h1>Anew</h1>", encoding="utf-8")
    until(lambda: page.run("document.querySelector('h1')?.textContent") == "Saved", "the new subject")
    template.write_text("---\nsubject: Saved\n---\n{{ nope }}", encoding="utf-8")
    until(lambda: "'nope' is not in scope" in (page.run("document.body.textContent") or ""), "the fault")
    template.write_text("---\nsubject: Mended\n---\n<h1>Good</h1>", encoding="utf-8")
    until(lambda: page.run("document.querySelector('h1')?.textContent") == "Mended", "the mended mail")


def test_languages_text_headers_and_source(serve: Serve, loops: Path, page: Page) -> None:
    address = serve(loops)
    page.go(f"{address}?loop=hello&locale=de-AT")
    until(lambda: page.run(f"{FRAME}.querySelector('h1')?.textContent") == "Hallo Ada", "the German mail")
    page.go(f"{address}?loop=hello&locale=de&view=text")
    assert page.run("document.querySelector('#text').textContent").startswith("Hallo Ada\n\nAbmelden <https://")
    page.go(f"{address}?loop=hello&view=headers")
    assert "List-Unsubscribe-Post" in page.run("document.querySelector('#headers').textContent")
    page.go(f"{address}?loop=hello&view=html")
    assert page.run("document.querySelector('#html').textContent").startswith("<!doctype html>")


def test_troubles_are_listed_and_a_hostile_mail_runs_nothing(serve: Serve, loops: Path, page: Page) -> None:
    page.go(f"{serve(loops)}?loop=rough&view=desktop")
    rules = page.run("[...document.querySelectorAll('#remarks [data-rule]')].map(item => item.dataset.rule)")
    assert set(rules) == {"dead_anchor", "http_link", "huge_image", "cut_out"}
    assert "SK326" in page.run("document.querySelector('#remarks').textContent")
    page.run(f"{FRAME}.querySelector('p').click()")
    assert page.run("document.title") == "rough · Preview"
    assert page.run(f"{FRAME}.title") == "About rough.html"


def test_a_broken_file_shows_its_faults(serve: Serve, loops: Path, page: Page) -> None:
    page.go(f"{serve(loops)}?loop=loops%2Fwrong.yaml")
    said = page.run("document.querySelector('[role=alert]').textContent")
    assert "unknown key" in said
    assert "loops/wrong.yaml:2:1" in said


def test_an_empty_folder_says_what_to_do(serve: Serve, tmp_path: Path, page: Page) -> None:
    (tmp_path / "none").mkdir()
    page.go(serve(tmp_path / "none"))
    assert "No loops here yet" in page.run("document.body.textContent")


def test_only_this_machine_is_answered(serve: Serve, loops: Path) -> None:
    address = serve(loops)
    request = urllib.request.Request(address, headers={"Host": "evil.example"})
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=30)
    assert refused.value.code == 400
    refused.value.close()
    with urllib.request.urlopen(f"{address}mail?loop=hello", timeout=30) as answer:
        assert answer.headers["Content-Security-Policy"].startswith("sandbox ")
        assert "script-src" not in answer.headers["Content-Security-Policy"]
    with urllib.request.urlopen(f"{address}mail.eml?loop=hello", timeout=30) as answer:
        assert answer.read().startswith(b"From: Acme <hello@acme.example>\r\n")
