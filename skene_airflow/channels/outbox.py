"""The outbox: mail that stays on this machine, as standards-clean files and one page to look at them."""

from __future__ import annotations

import errno
import fcntl
import json
import os
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from skene_airflow.channels.base import NO_REPLY, Channel, ChannelConfig, Rule
from skene_airflow.channels.mime import mime
from skene_airflow.errors import SettingsError
from skene_airflow.nouns import Answer, Message, SendResult

if TYPE_CHECKING:
    from collections.abc import Sequence

SNIPPET = 140
"""Characters of the text part that the list shows."""
TABLE = (
    # Asked before a single file is written.
    Rule((NO_REPLY,), ("folder",), Answer.ACCOUNT, "folder_unwritable", "Check the connection's host (a folder)."),
    # The disk may be full half-way; the same call writes the same files again.
    Rule((NO_REPLY,), ("write",), Answer.DOUBT, "write_failed"),
    Rule((NO_REPLY,), ("garbage",), Answer.BAD_LOT, "unreadable_batch"),
    Rule(range(1000), (), Answer.DOUBT, "unknown_error"),
)
"""What can go wrong while files are written, and what that means."""


class OutboxChannel(Channel):
    """Writes ``mails/<n>/<delivery>-<key>.eml``, ``pages/<batch>.js`` and ``index.html`` under ``host``.

    A delivery's file name says which delivery it is, so the same batch again writes the same files again.
    """

    name: ClassVar = "outbox"
    batch_size: ClassVar = 100
    window: ClassVar = timedelta(days=3650)
    local: ClassVar = True
    table: ClassVar = TABLE

    def __init__(self, config: ChannelConfig) -> None:
        """Raises SettingsError if the connection names no folder."""
        super().__init__(config)
        host = config.host.strip()
        if not host:
            raise SettingsError("the outbox connection's host must be a folder")
        self.folder = Path(host).expanduser()
        self._ready = False
        self._folders: set[Path] = set()

    def _freeze(self, messages: Sequence[Message]) -> bytes:
        frozen = {
            "date": self.now().astimezone(UTC).isoformat(timespec="seconds"),
            "mails": [asdict(m) for m in messages],
        }
        return json.dumps(frozen, separators=(",", ":")).encode("ascii")

    def _send(self, body: bytes, idem_key: str) -> SendResult:
        try:
            date, messages = _thaw(body)
        except (ValueError, KeyError, TypeError):
            return self._answer(NO_REPLY, "garbage")
        try:
            self._prepare()
        except OSError as error:
            return self._answer(NO_REPLY, "folder", detail=error.strerror or "")
        try:
            names = [self._write_mail(message, date) for message in messages]
            self._write_page(idem_key, date, list(zip(names, messages, strict=True)))
        except OSError as error:
            self._ready = False
            return self._answer(NO_REPLY, "write", detail=error.strerror or "")
        return SendResult(Answer.ACCEPTED, tuple(names))

    def test(self) -> tuple[bool, str]:
        """Whether the folder can be made and written."""
        try:
            self._prepare()
        except OSError as error:
            return False, f"The folder cannot be written: {error.strerror}"
        return True, "The folder can be written; open its index.html to see the mails"

    def close(self) -> None:
        """Nothing is kept open."""
        self._ready = False

    def _prepare(self) -> None:
        if self._ready:
            return
        for name in ("mails", "pages"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        page = files("skene_airflow.channels").joinpath("outbox.html").read_bytes()
        index = self.folder / "index.html"
        if not index.exists() or index.read_bytes() != page:
            _replace(index, page)
        self._folders.clear()
        self._ready = True

    def _write_mail(self, message: Message, date: datetime) -> str:
        # A thousand in a folder: a folder of a million files is slow everywhere.
        name = f"mails/{message.delivery_id // 1000}/{message.delivery_id}-{message.message_key[:12]}.eml"
        path = self.folder / name
        if path.parent not in self._folders:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._folders.add(path.parent)
        _replace(path, mime(message, date))
        return name

    def _write_page(self, idem_key: str, date: datetime, mails: list[tuple[str, Message]]) -> None:
        """Add the batch to the index's data: full contents in a file of its own, one line in ``mails.js``.

        The index is a fixed page that reads both, so a batch costs the same whether it is the first or the last.
        Its data are scripts because a page opened from disk may load scripts but not fetch files.
        """
        page = sha256(idem_key.encode("utf-8", "replace")).hexdigest()[:16]
        views = {name: [m.html, m.text, [list(header) for header in m.headers]] for name, m in mails}
        _replace(self.folder / "pages" / f"{page}.js", _script("page", page, views))
        rows = [
            [name, m.subject, m.to, m.sender, " ".join(m.text[: SNIPPET * 4].split())[:SNIPPET], dict(m.tags)]
            for name, m in mails
        ]
        _append(self.folder / "mails.js", _script("mails", page, date.isoformat(), rows))


def _thaw(body: bytes) -> tuple[datetime, list[Message]]:
    frozen: dict[str, Any] = json.loads(body)
    return datetime.fromisoformat(frozen["date"]), [
        Message(**mail | {pairs: tuple(tuple(pair) for pair in mail[pairs]) for pairs in ("headers", "tags")})
        for mail in frozen["mails"]
    ]


def _script(function: str, *arguments: object) -> bytes:
    # ASCII JSON is valid JavaScript on one line; "<" is escaped so that it could stand in a page as well.
    texts = (json.dumps(one, separators=(",", ":")).replace("<", "\\u003c") for one in arguments)
    return f"{function}({','.join(texts)});\n".encode("ascii")


def _replace(path: Path, content: bytes) -> None:
    """Write a file so that readers see the old one or the new one, whole, even if two processes write it."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_bytes(content)
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


def _append(path: Path, line: bytes) -> None:
    with path.open("ab", buffering=0) as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        end = file.seek(0, os.SEEK_END)
        if file.write(line) != len(line):
            file.truncate(end)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
