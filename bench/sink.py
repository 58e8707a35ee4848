"""A provider that takes everything: Resend's batch endpoint, its idempotency and a latency, in a process of its own.

``python -m bench.sink LATENCY_MS`` prints its port and serves until its standard input is closed. It is made to be
cheap, so that what is measured is the client: mails are counted by a key that JSON can only have once in each.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
import zlib
from typing import cast

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_KEY = re.compile(rb"\r\nidempotency-key: *([\x21-\x7e]+)", re.IGNORECASE)
_CLOSE = re.compile(rb"\r\nconnection: *close", re.IGNORECASE)
_CONFLICT = b'{"statusCode":409,"name":"invalid_idempotent_request","message":"The same key with another body."}'


class Counts:
    """What was taken so far: calls, mails, and calls answered from memory because their key was known."""

    def __init__(self) -> None:
        self.calls = self.mails = self.replays = 0
        self._kept: dict[bytes, tuple[int, int, int]] = {}

    def take(self, key: bytes | None, body: bytes) -> range | None:
        """The numbers of the mails in one POST: the same key and body get the same; None if the body is another."""
        self.calls += 1
        # A quote inside a JSON string is escaped, so that these bytes are always a key of a mail.
        number, mark = body.count(b'"subject":'), zlib.crc32(body)
        if key is not None and key in self._kept:
            first, known, fingerprint = self._kept[key]
            if fingerprint != mark:
                return None
            self.replays += 1
            return range(first, first + known)
        first = self.mails
        self.mails += number
        if key is not None:
            self._kept[key] = (first, number, mark)
        return range(first, first + number)


def _ids(numbers: range, *, batch: bool) -> bytes:
    ids = [f'{{"id":"00000000-0000-4000-8000-{n:012x}"}}' for n in numbers]
    return f'{{"data":[{",".join(ids)}]}}'.encode() if batch else ids[0].encode()


class Connection(asyncio.Protocol):
    """One kept-alive connection: calls one after the other."""

    def __init__(self, counts: Counts, latency: float) -> None:
        self._counts, self._latency = counts, latency
        self._buffer = bytearray()
        self._head, self._need = b"", 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self._head:
            end = self._buffer.find(b"\r\n\r\n")
            if end < 0:
                return
            self._head = bytes(self._buffer[:end])
            del self._buffer[: end + 4]
            length = _LENGTH.search(self._head)
            self._need = int(length.group(1)) if length else 0
        if len(self._buffer) >= self._need:
            head, body = self._head, bytes(self._buffer[: self._need])
            del self._buffer[: self._need]
            self._head = b""
            self._answer(head, body)

    def _answer(self, head: bytes, body: bytes) -> None:
        if head.startswith(b"GET "):
            counts = self._counts
            seen = {"calls": counts.calls, "mails": counts.mails, "replays": counts.replays}
            self._reply(200, json.dumps(seen).encode(), head)
            return
        key = _KEY.search(head)
        taken = self._counts.take(key.group(1) if key else None, body)
        batch = head.startswith(b"POST /emails/batch ")
        status, answer = (409, _CONFLICT) if taken is None else (200, _ids(taken, batch=batch))
        if self._latency:
            asyncio.get_running_loop().call_later(self._latency, self._reply, status, answer, head)
        else:
            self._reply(status, answer, head)

    def _reply(self, status: int, content: bytes, head: bytes) -> None:
        closing = _CLOSE.search(head) is not None
        words = "OK" if status == 200 else "Conflict"
        self._transport.write(
            f"HTTP/1.1 {status} {words}\r\nContent-Type: application/json\r\nContent-Length: {len(content)}\r\n"
            f"{'Connection: close' if closing else 'Connection: keep-alive'}\r\n\r\n".encode()
            + content
        )
        if closing:
            self._transport.close()


async def serve(latency: float) -> None:
    """Serve until standard input ends."""
    counts, loop = Counts(), asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(counts, latency), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)
    server.close()


if __name__ == "__main__":
    asyncio.run(serve(float(sys.argv[1]) / 1000))
