"""The headers of a message as people read them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from skene_airflow.nouns import Message


def headers_of(message: Message) -> list[tuple[str, str]]:
    """Return name and value of each header that has one, in the order of mail programs."""
    known = [
        ("From", message.sender),
        ("To", message.to),
        ("Reply-To", message.reply_to or ""),
        ("Subject", message.subject),
        *message.headers,
    ]
    return [(name, value) for name, value in known if value]
