"""What a finished mail will trouble its readers with: looked at as it arrives, without a network."""

from __future__ import annotations

import re
from dataclasses import dataclass
from html.parser import HTMLParser
from typing import TYPE_CHECKING

from skene_airflow.message.render import NO_SITE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from skene_airflow.nouns import Message

CLIP = 102 * 1024
"""Bytes of HTML from which on Gmail cuts a mail off and hides the rest, the link to unsubscribe with it."""
WIDEST = 1200
"""Pixels that no image of a mail needs to be wide, even on screens with twice the dots."""
_TALLEST = 2400
_LONG_SUBJECT = 70
_CUT_OUT = frozenset({"script", "form", "iframe", "object", "embed", "video", "audio", "base"})
_PIXELS = re.compile(r"\s*([0-9]{1,6})(?:px)?\s*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Remark:
    """One thing about a mail. ``serious``: mail programs or readers will certainly stumble over it."""

    rule: str
    message: str
    serious: bool = True


def review(message: Message, *, marketing: bool) -> list[Remark]:
    """Return what is wrong or unwise in a mail, the serious things first."""
    page = _Page(message.html)
    found = [*_parts(message), *_way_out(message, page, marketing=marketing), *_links(page), *_images(page)]
    found += [
        Remark("cut_out", f"<{tag}>: mail programs take it out or ignore it") for tag in sorted(page.tags & _CUT_OUT)
    ]
    return sorted(dict.fromkeys(found), key=lambda remark: not remark.serious)


def _parts(message: Message) -> Iterator[Remark]:
    if not message.text.strip():
        yield Remark("no_text", "there is no text part: some people see nothing, and filters take it for spam")
    size = len(message.html.encode("utf-8", "replace"))
    if size > CLIP:
        yield Remark(
            "clipped", f"{size / 1024:.0f} kB of HTML: Gmail shows the first {CLIP // 1024} kB and hides the rest"
        )
    elif size > CLIP * 0.9:
        yield Remark(
            "clipped", f"{size / 1024:.0f} kB of HTML: Gmail hides what is over {CLIP // 1024} kB", serious=False
        )
    if len(message.subject) > _LONG_SUBJECT:
        yield Remark(
            "long_subject", f"{len(message.subject)} characters of subject: phones show about 40", serious=False
        )
    if not message.sender:
        yield Remark("no_from", "there is no From address: write `from:` in the action, or set [skene] from_email")


def _way_out(message: Message, page: _Page, *, marketing: bool) -> Iterator[Remark]:
    if not marketing:
        return
    headers = dict(message.headers)
    url = headers.get("List-Unsubscribe", "").strip("<>")
    if not url:
        yield Remark("no_unsubscribe", "no List-Unsubscribe header: set [skene] base_url and secret_key")
    elif not url.startswith("https://"):
        yield Remark("no_unsubscribe", "the unsubscribe link is not https: mail programs do not offer it")
    if url not in page.links or not url:
        yield Remark("no_unsubscribe", "no visible link to unsubscribe: print {{ unsubscribe_url }}, or set base_url")
    if any(link.startswith(NO_SITE) for link in page.links):
        yield Remark("no_unsubscribe", "the unsubscribe link leads nowhere until [skene] base_url is set")


def _links(page: _Page) -> Iterator[Remark]:
    for link in page.links:
        if link.startswith("#"):
            if link[1:] not in page.anchors:
                yield Remark("dead_anchor", f"{link} leads nowhere: nothing in the mail has this id")
        elif not link.strip():
            yield Remark("dead_anchor", "a link with an empty href")
    for link in [*page.links, *(image.get("src", "") for image in page.images)]:
        if link.lower().startswith("http://"):
            yield Remark("http_link", f"{link[:80]} is not encrypted: write https://")


def _images(page: _Page) -> Iterator[Remark]:
    for image in page.images:
        name = image.get("src", "").rpartition("/")[2][:60] or "an image"
        width, height = _pixels(image.get("width", "")), _pixels(image.get("height", ""))
        if width > WIDEST or height > _TALLEST:
            size = f"{width or '?'} × {height or '?'}"
            yield Remark("huge_image", f"{name} is {size} pixels: {WIDEST} wide is enough for every screen")
        if "alt" not in image:
            yield Remark("no_alt", f"{name} has no alt text: it is what people see until images load", serious=False)
        if not width and "width" not in image.get("style", "").replace("max-width", ""):
            yield Remark("no_width", f"{name} has no width: Outlook shows it in its full size", serious=False)


def _pixels(text: str) -> int:
    found = _PIXELS.fullmatch(text)
    return int(found.group(1)) if found else 0


class _Page(HTMLParser):
    """Links, anchors, images and elements of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.anchors: set[str] = {"", "top"}
        self.images: list[dict[str, str]] = []
        self.tags: set[str] = set()
        self.feed(html)
        self.close()
        self.anchors.discard("")

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        self.tags.add(tag)
        self.anchors.add(values.get("id", ""))
        if tag == "a":
            self.anchors.add(values.get("name", ""))
        if tag in ("a", "area") and "href" in values:
            self.links.append(values["href"])
        if tag == "img":
            self.images.append(values)
