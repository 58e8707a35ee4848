"""A real SMTP server (aiosmtpd) on a free port, which can be told to fail at any step of the dialogue."""

from __future__ import annotations

import asyncio
import datetime as dt
import ipaddress
import socket
import ssl
import threading
import warnings
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec


@dataclass
class Taken:
    """One mail the server took."""

    sender: str
    recipients: list[str]
    content: bytes


@dataclass
class SmtpServer:
    """Context manager. ``plan`` maps a step (ehlo, mail, rcpt, data, dot, rset) to what happens there.

    ``drop`` breaks the line, ``hang`` is silence, ``take_drop``/``take_hang``/``take <reply>`` (at ``dot``) do so
    after the mail was taken; any other text is the reply. A ``login`` needs ``tls``.
    """

    tls: ssl.SSLContext | None = None
    starttls: bool = False
    login: tuple[str, str] | None = None
    plan: dict[str, str] = field(default_factory=dict)
    taken: list[Taken] = field(default_factory=list)
    steps: list[str] = field(default_factory=list)
    connections: int = 0
    port: int = 0

    def __enter__(self) -> Self:
        ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._stop: asyncio.Event | None = None
        self._thread = threading.Thread(target=lambda: self._loop.run_until_complete(self._serve(ready)), daemon=True)
        self._thread.start()
        assert ready.wait(10)
        return self

    def __exit__(self, *error: object) -> None:
        assert self._stop is not None
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)
        self._loop.close()

    async def _serve(self, ready: threading.Event) -> None:
        self._stop = asyncio.Event()
        server = await self._loop.create_server(
            self._connection, "127.0.0.1", 0, ssl=None if self.starttls else self.tls
        )
        self.port = server.sockets[0].getsockname()[1]
        ready.set()
        await self._stop.wait()
        server.close()
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0)

    def _connection(self) -> SMTP:
        self.connections += 1
        with warnings.catch_warnings():
            # aiosmtpd knows of no TLS but STARTTLS, and is afraid for the password.
            warnings.filterwarnings("ignore", "Requiring AUTH while not requiring TLS")
            return self._dialogue()

    def _dialogue(self) -> SMTP:
        return _Dialogue(
            self,
            _Handler(self),
            hostname="mx.acme.example",
            loop=self._loop,
            tls_context=self.tls if self.starttls else None,
            require_starttls=False,
            authenticator=self._authenticate,
            auth_require_tls=self.starttls,
            auth_required=self.login is not None,
            enable_SMTPUTF8=False,
        )

    def _authenticate(
        self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: Any
    ) -> AuthResult:
        known = isinstance(data, LoginPassword) and self.login == (data.login.decode(), data.password.decode())
        return AuthResult(success=known, handled=False)


def _as_bytes(content: bytes | str | None) -> bytes:
    return content.encode() if isinstance(content, str) else content or b""


def _abort(server: SMTP) -> None:
    assert isinstance(server.transport, asyncio.WriteTransport)
    server.transport.abort()


class _Handler:
    def __init__(self, double: SmtpServer) -> None:
        self._double = double

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        action = self._double.plan.get("dot", "")
        self._double.steps.append("dot")
        if not action or action.startswith("take"):
            self._double.taken.append(
                Taken(str(envelope.mail_from), [str(to) for to in envelope.rcpt_tos], _as_bytes(envelope.content))
            )
        action = action.removeprefix("take").lstrip("_ ")
        if action == "drop":
            _abort(server)
        if action == "hang":
            await asyncio.sleep(30)
        return "250 taken" if action in {"", "drop", "hang"} else action


class _Dialogue(SMTP):
    def __init__(self, double: SmtpServer, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._double = double

    async def _planned(self, step: str, usual: Callable[[], Awaitable[None]]) -> None:
        self._double.steps.append(step)
        action = self._double.plan.get(step)
        if action is None:
            await usual()
        elif action == "drop":
            _abort(self)
        elif action == "hang":
            await asyncio.sleep(30)
        else:
            await self.push(action)

    async def smtp_EHLO(self, arg: str) -> None:  # noqa: N802
        await self._planned("ehlo", lambda: super(_Dialogue, self).smtp_EHLO(arg))

    async def smtp_HELO(self, arg: str) -> None:  # noqa: N802
        await self._planned("ehlo", lambda: super(_Dialogue, self).smtp_HELO(arg))

    async def smtp_RSET(self, arg: str) -> None:  # noqa: N802
        await self._planned("rset", lambda: super(_Dialogue, self).smtp_RSET(arg))

    async def smtp_MAIL(self, arg: str) -> None:  # noqa: N802
        await self._planned("mail", lambda: super(_Dialogue, self).smtp_MAIL(arg))

    async def smtp_RCPT(self, arg: str) -> None:  # noqa: N802
        await self._planned("rcpt", lambda: super(_Dialogue, self).smtp_RCPT(arg))

    async def smtp_DATA(self, arg: str) -> None:  # noqa: N802
        await self._planned("data", lambda: super(_Dialogue, self).smtp_DATA(arg))


def certificate(folder: Path) -> tuple[ssl.SSLContext, Path]:
    """A server's TLS context for 127.0.0.1, and the file of the certificate that trusts it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = dt.datetime.now(dt.UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    public, private = folder / "cert.pem", folder / "key.pem"
    public.write_bytes(built.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(public, private)
    return context, public


class ScriptedServer:
    """Says fixed lines, one for each line it hears (the first unasked), then hangs up."""

    def __init__(self, lines: Sequence[bytes]) -> None:
        self._lines = list(lines)
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        connection, _ = self._socket.accept()
        with connection, connection.makefile("rb") as heard:
            for number, line in enumerate(self._lines):
                if number and not heard.readline():
                    return
                connection.sendall(line)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._thread.join(5)
        self._socket.close()
