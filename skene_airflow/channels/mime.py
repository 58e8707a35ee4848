"""A message as MIME bytes, written out by hand: the same message and date give the same bytes on every Python.

Lines end with CRLF and stay under 78 characters (RFC 5322), except headers that must not be folded
(List-Unsubscribe: folding breaks some DKIM signers) and addresses that cannot be.
"""

from __future__ import annotations

import re
from base64 import b64encode
from binascii import b2a_qp
from email.utils import format_datetime
from typing import TYPE_CHECKING

from skene_airflow.channels.safety import Mailbox, mailbox, one_line, whole_text

if TYPE_CHECKING:
    from datetime import datetime

    from skene_airflow.nouns import Message

_WIDTH = 76
_WORD_BYTES = 39  # 52 characters of base64 and 12 of wrapping, so that "Reply-To: " fits before it
_PLAIN_PHRASE = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~ -]*")


def sender_address(message: Message) -> str:
    """The envelope's sender. Raises ValueError if the message was never checked (`safety.fault_of`)."""
    return _mailbox(message.sender).address


def recipient_address(message: Message) -> str:
    """The envelope's only recipient. Raises ValueError if the message was never checked."""
    return _mailbox(message.to).address


def mime(message: Message, date: datetime) -> bytes:
    """The whole mail. Raises ValueError if the message was never checked (`safety.fault_of`)."""
    head = [
        _address_header("From", message.sender),
        _address_header("To", message.to),
        *([_address_header("Reply-To", message.reply_to)] if message.reply_to is not None else []),
        _text_header("Subject", one_line(message.subject)),
        f"Date: {format_datetime(date)}",
        f"Message-ID: <{message_id(message)}>",
        *(_extra_header(name, value) for name, value in message.headers),
        "MIME-Version: 1.0",
    ]
    parts = [(kind, content) for kind, content in (("plain", message.text), ("html", message.html)) if content]
    if len(parts) < 2:
        kind, content = parts[0] if parts else ("plain", "")
        return _bytes([*head, *_part_head(kind), ""]) + _quoted(content)
    boundary = f"=_sk_{message.message_key}"
    mail = [_bytes([*head, f'Content-Type: multipart/alternative;\r\n boundary="{boundary}"', ""])]
    for kind, content in parts:
        mail += [_bytes([f"--{boundary}", *_part_head(kind), ""]), _quoted(content)]
    return b"".join([*mail, _bytes([f"--{boundary}--"])])


def message_id(message: Message) -> str:
    """The mail's own stable name, without angle brackets: what the delivery is, at the sender's domain."""
    return f"sk.{message.message_key}@{sender_address(message).rpartition('@')[2]}"


def _bytes(lines: list[str]) -> bytes:
    return "".join(f"{line}\r\n" for line in lines).encode("ascii")


def _part_head(kind: str) -> list[str]:
    return [f'Content-Type: text/{kind}; charset="utf-8"', "Content-Transfer-Encoding: quoted-printable"]


def _quoted(content: str) -> bytes:
    lines = whole_text(content).replace("\r\n", "\n").replace("\r", "\n").rstrip("\n")
    return b2a_qp(lines.encode("utf-8"), istext=True).replace(b"\n", b"\r\n") + b"\r\n"


def _mailbox(text: str) -> Mailbox:
    found = mailbox(text)
    if found is None:
        raise ValueError("not exactly one mailbox")
    return found


def _address_header(name: str, text: str) -> str:
    box = _mailbox(text)
    if not box.name:
        return f"{name}: {box.address}"
    phrase = box.name
    if not phrase.isascii() or "=?" in phrase or len(phrase) > 200:
        phrase = _encoded_words(phrase)
    elif not _PLAIN_PHRASE.fullmatch(phrase):
        phrase = '"' + phrase.replace("\\", "\\\\").replace('"', '\\"') + '"'
    last = phrase.rpartition("\r\n")[2]
    gap = " " if len(name) + len(last) + len(box.address) + 5 <= _WIDTH else "\r\n "
    return f"{name}: {phrase}{gap}<{box.address}>"


def _text_header(name: str, value: str) -> str:
    words = value.split(" ")
    if not value.isascii() or "=?" in value or any(len(word) > _WIDTH for word in words):
        return f"{name}: {_encoded_words(value)}"
    lines, line = [], f"{name}:"
    for word in words:
        if len(line) + 1 + len(word) > _WIDTH and not line.endswith(":"):
            lines.append(line)
            line = ""
        line += f" {word}"
    return "\r\n".join([*lines, line])


def _extra_header(name: str, value: str) -> str:
    return f"{name}: {value}" if value.isascii() else f"{name}: {_encoded_words(value)}"


def _encoded_words(text: str) -> str:
    """RFC 2047, cut between characters (never inside one), one word a line."""
    chunks, chunk = [], b""
    for char in text:
        encoded = char.encode("utf-8", "replace")
        if len(chunk) + len(encoded) > _WORD_BYTES:
            chunks.append(chunk)
            chunk = b""
        chunk += encoded
    return "\r\n ".join(f"=?utf-8?B?{b64encode(part).decode('ascii')}?=" for part in [*chunks, chunk] if part)
