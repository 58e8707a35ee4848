"""The double's HTTP/1.1: kept-alive connections, and answers that get lost on purpose."""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from skene_airflow.testing.resend_faults import Reply, refusal

Receive = Callable[[str, str, dict[str, str], bytes], Reply]
BODY_CAP = 64_000_000


class DoubleServer(ThreadingHTTPServer):
    """Hands every call to ``receive(method, path, headers, body)`` in a thread of its connection."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], receive: Receive) -> None:
        self.receive = receive
        self.connections = 0
        self._open: set[socket.socket] = set()
        super().__init__(address, _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        self.connections += 1
        self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._open.discard(request)
        super().shutdown_request(request)

    def server_close(self) -> None:
        super().server_close()
        # Kept-alive connections would wait for their clients for ever.
        for connection in list(self._open):
            _break(connection)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no news; anything else is a fault of the test, and shown."""
        if not isinstance(sys.exc_info()[1], (ConnectionError, TimeoutError)):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "resend-double", ""
    disable_nagle_algorithm = True
    wbufsize = -1
    server: DoubleServer

    def handle_one_request(self) -> None:
        self.raw_requestline = self.rfile.readline(65_537)
        if not self.raw_requestline:
            self.close_connection = True
            return
        if self.parse_request():
            self._exchange()
            self.wfile.flush()

    def _exchange(self) -> None:
        length = self.headers.get("Content-Length", "0")
        if not length.isdigit() or int(length) > BODY_CAP or "Transfer-Encoding" in self.headers:
            self.close_connection = True
            self._write(refusal(413, "validation_error", "Send a body of known, moderate length."))
            return
        body = self.rfile.read(int(length))
        if len(body) < int(length):  # the client died in the middle: such a call never happened
            self.close_connection = True
            return
        headers = {name.lower(): value for name, value in self.headers.items()}
        reply = self.server.receive(self.command, self.path, headers, body)
        if reply.delivery in {"none", "late"}:
            self.close_connection = True
            _break(self.connection)
        else:
            self._write(reply)

    def _write(self, reply: Reply) -> None:
        cut = reply.delivery == "cut"
        self.send_response(reply.status)
        for name, value in reply.headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(reply.content) + (1000 if cut else 0)))
        if cut or self.close_connection:
            self.close_connection = True
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(reply.content)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class names it so
        """Say nothing: tests read `requests`."""


def _break(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        return
