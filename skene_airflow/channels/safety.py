"""The last look before anything leaves or is logged: one recipient, no injected header, no address in a log.

Templates and addresses were cleaned long before; what is refused here would be a mistake of our own, and it
fails that one message instead of reaching a provider.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from skene_airflow.nouns import Message

DETAIL_CAP = 200
_BREAKS = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")
_HIDDEN = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]+")
_SPACES = re.compile(r"\s{2,}")
_ADDRESS = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]{1,64}@[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?")
_HEADER_NAME = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,75}")
_KEY = re.compile(r"[A-Za-z0-9._-]{1,64}")
_OURS = frozenset(
    "from to cc bcc sender reply-to subject date message-id mime-version return-path received resent-to resent-cc"
    " resent-bcc content-type content-transfer-encoding content-disposition dkim-signature".split()
)
# Whatever could be an address: also percent-encoded, quoted, international; with the name that stands before its
# bracket, which reaches back to the last mark of punctuation.
_PERSONAL = re.compile(
    r"""(?:(?:"[^"]*"\s*|[^\s<>"'`(),;:=][^<>"'`(),;:=]{0,99})(?=<[^<>\s]*(?:@|%40)))?<?(?:"[^"]*"|[^\s<>"'`(),;:=]+)(?:@|%40)[^\s<>"'`(),;]+>?""",
    re.IGNORECASE,
)
_SECRET = re.compile(r"\b(?:re_|whsec_|SG\.|Bearer\s)\S+")
_ERROR_CLASS = re.compile(r"[a-z][a-z0-9_]{0,63}")


class Mailbox(NamedTuple):
    """A display name (often empty) and one plain ``local@domain``."""

    name: str
    address: str


def one_line(text: str) -> str:
    """The text without line breaks and control characters: they become one space."""
    if text.isascii() and text.isprintable() and "  " not in text:
        return text.strip()
    return _SPACES.sub(" ", _BREAKS.sub(" ", text)).strip()


def whole_text(text: str) -> str:
    """A body's text without the characters no mail may hold: NUL and halves of surrogate pairs."""
    if "\x00" in text:
        text = text.replace("\x00", "")
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def mailbox(text: str) -> Mailbox | None:
    """The one mailbox in ``text`` (``a@b.example`` or ``Name <a@b.example>``); None if it is not exactly one."""
    if _BREAKS.search(text):
        return None
    name, opening, rest = text.strip().rpartition("<")
    if not opening:
        name, rest = "", rest + ">"
    name = name.strip()
    if len(name) > 1 and name.startswith('"') and name.endswith('"'):
        name = re.sub(r"\\(.)", r"\1", name[1:-1])
    elif any(char in name for char in '<>"'):
        return None
    address = rest[:-1]
    if not rest.endswith(">") or not _ADDRESS.fullmatch(address) or ".." in address or address.startswith("."):
        return None
    return None if ".@" in address else Mailbox(name, address)


def fault_of(message: Message) -> str:
    """Why the message must not be sent (an error class), or the empty string."""
    if mailbox(message.to) is None:
        return "invalid_recipient"
    if mailbox(message.sender) is None:
        return "invalid_sender"
    if message.reply_to is not None and mailbox(message.reply_to) is None:
        return "invalid_reply_to"
    if not _KEY.fullmatch(message.message_key):
        return "invalid_message_key"
    if not all(_header_is_safe(name, value) for name, value in message.headers):
        return "invalid_header"
    return ""


def _header_is_safe(name: str, value: str) -> bool:
    if not _HEADER_NAME.fullmatch(name) or name.lower() in _OURS:
        return False
    return not _BREAKS.search(value) and len(name) + len(value) < 990


def scrub(text: str) -> str:
    """A provider's text, fit for a log: no addresses, no keys, one line, at most DETAIL_CAP characters."""
    text = one_line(_HIDDEN.sub("", text[:4096]))
    text = _SECRET.sub("‹key›", _PERSONAL.sub("‹address›", text))
    return text if len(text) <= DETAIL_CAP else text[: DETAIL_CAP - 1] + "…"


def error_class(text: object) -> str:
    """``text`` if it can serve as an error class (``rate_limit_exceeded``), else the empty string."""
    return text if isinstance(text, str) and _ERROR_CLASS.fullmatch(text) else ""
