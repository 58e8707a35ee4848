"""SMTP: one message at a time over one kept-open connection, and never a second try on its own.

SMTP cannot be asked whether it took a message. So everything depends on the phase in which a call ends: before
the final dot nothing was taken, whatever broke; after it, only an answer tells.
"""

from __future__ import annotations

import re
import smtplib
import socket
import ssl
import time
from contextlib import suppress
from datetime import UTC
from typing import TYPE_CHECKING, ClassVar

from skene_airflow.channels.base import NO_REPLY, Channel, ChannelConfig, Rule
from skene_airflow.channels.mime import mime, recipient_address, sender_address
from skene_airflow.channels.safety import mailbox
from skene_airflow.errors import SettingsError
from skene_airflow.nouns import Answer, SendResult

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from skene_airflow.nouns import Message

MAILS_PER_CONNECTION = 100
"""Some relays close a connection that carried many mails; we do it first, between two of them."""
DOT_TIMEOUT = 60.0
"""Seconds to wait for the answer to the final dot. RFC 5321 asks for ten minutes, a batch is leased for two."""
BEFORE_DOT = 45.0
"""Seconds for everything before it. A slower server is left before it takes anything: the lease must not run out."""

ANY = range(1000)
_CONNECTION = ("connect", "tls", "login")
_GOOD = {"mail": {250}, "rcpt": {250, 251, 252}, "data": {354}}
TABLE = (
    # The account, or how the connection is set up: no mail would pass.
    Rule((NO_REPLY,), ("certificate",), Answer.ACCOUNT, advice="The server's TLS certificate is not trusted."),
    Rule((NO_REPLY,), ("unsupported",), Answer.ACCOUNT, advice="Check login, disable_tls and disable_ssl."),
    Rule((530, 534, 535, 538), (), Answer.ACCOUNT, advice="Check the connection's login and password."),
    Rule(range(500, 600), _CONNECTION, Answer.ACCOUNT, advice="The server refuses this connection."),
    # 552 and 554 at MAIL speak of this mail's size or policy; any other 5xx refuses whoever it is from.
    Rule((*range(500, 552), 553, *range(555, 600)), ("mail",), Answer.ACCOUNT, advice="Check the From address."),
    # After the final dot only a plain answer settles it. 421 is also what a proxy says that lost its server.
    Rule(range(200, 300), ("dot",), Answer.ACCEPTED),
    Rule((421,), ("dot",), Answer.DOUBT),
    Rule(range(400, 500), ("dot",), Answer.LATER),
    Rule(range(500, 600), ("dot",), Answer.BAD_LOT),
    Rule(ANY, ("dot",), Answer.DOUBT),
    # Before it: a definite no; with 5xx because of this mail, else for now.
    Rule(range(500, 600), ("mail", "rcpt", "data"), Answer.BAD_LOT),
    Rule(ANY, (), Answer.LATER),
)
"""What the server says (reply code, the step it answers) and what that means; NO_REPLY: the line broke."""


class _RefusedError(Exception):
    """The dialogue ended in a step, with a reply or (NO_REPLY) without one."""

    def __init__(self, step: str, code: int, text: bytes | str = b"") -> None:
        super().__init__(step, code)
        # smtplib says -1 for a reply that is none.
        self.step, self.code = step, max(code, NO_REPLY)
        self.text = text.decode("utf-8", "replace") if isinstance(text, bytes) else text


class SmtpChannel(Channel):
    """Mail through an SMTP server. Extras as in Airflow's smtp provider.

    ``disable_ssl`` (TLS from the first byte: the default on port 465 and without a port), ``disable_tls``
    (STARTTLS: the default elsewhere, and then required), ``timeout`` (seconds, 30), ``ssl_context`` (``default``
    or ``none``), ``from_email``.
    """

    name: ClassVar = "smtp"
    batch_size: ClassVar = 1
    window: ClassVar = None
    table: ClassVar = TABLE

    def __init__(self, config: ChannelConfig) -> None:
        """Raises SettingsError for a missing host or an extra that cannot be read."""
        super().__init__(config)
        self._host = config.host.strip()
        if not self._host:
            raise SettingsError("the smtp connection has no host")
        disable_ssl = config.flag("disable_ssl")
        self._implicit_tls = config.port in {None, 0, 465} if disable_ssl is None else not disable_ssl
        self._starttls = not self._implicit_tls and not config.flag("disable_tls")
        self._port = config.port or (465 if self._implicit_tls else 587)
        self._timeout = config.seconds("timeout", 30.0)
        context = config.text("ssl_context") or "default"
        if context not in {"default", "none"}:
            raise SettingsError("the smtp connection's extra 'ssl_context' must be 'default' or 'none'")
        self._verify = context == "default"
        if (auth := config.text("auth_type") or "basic") != "basic":
            raise SettingsError(
                f"the smtp connection's extra 'auth_type' is '{auth[:20]}', and only 'basic' (login and password) works"
                " here: use a password made for apps, or a relay that takes one"
            )
        self._server: smtplib.SMTP | None = None
        self._carried = 0
        self._deadline = float("inf")
        self.clock: Callable[[], float] = time.monotonic
        """Counts the seconds of a call; there to be replaced in tests."""

    def _freeze(self, messages: Sequence[Message]) -> bytes:
        (message,) = messages
        envelope = f"{sender_address(message)} {recipient_address(message)}\r\n"
        return envelope.encode("ascii") + mime(message, self.now().astimezone(UTC))

    def _send(self, body: bytes, idem_key: str) -> SendResult:
        envelope, _, mail = body.partition(b"\r\n")
        sender, _, recipient = envelope.decode("ascii", "replace").partition(" ")
        if mailbox(sender) is None or mailbox(recipient) is None:
            return SendResult(Answer.BAD_LOT, error="invalid_envelope")
        self._deadline = self.clock() + BEFORE_DOT
        try:
            server = self._fresh()
            self._carried += 1
            self._deliver(server, sender, recipient, _keyed(mail, self._host, idem_key))
        except _RefusedError as refused:
            if not 400 <= refused.code < 600 or refused.code == 421:
                self.close()
            return self._said(refused)
        return SendResult(Answer.ACCEPTED, (_message_id(mail),))

    def test(self) -> tuple[bool, str]:
        """Connect, secure the line and log in."""
        try:
            self._fresh()
        except _RefusedError as refused:
            said = self._said(refused)
            return False, f"{said.error}: {said.detail}"
        return True, "The server is there and the login works"

    def close(self) -> None:
        """Say goodbye and hang up."""
        server, self._server = self._server, None
        if server is not None:
            with suppress(OSError, smtplib.SMTPException):
                if server.sock is not None:
                    server.sock.settimeout(2.0)
                    server.quit()
            server.close()

    def _said(self, refused: _RefusedError) -> SendResult:
        reply = "no_reply" if refused.code == NO_REPLY else str(refused.code)
        return self._answer(refused.code, refused.step, error=f"{refused.step}_{reply}", detail=refused.text)

    def _fresh(self) -> smtplib.SMTP:
        """A connection ready for MAIL. One that the server closed meanwhile is opened anew: no mail was in it."""
        if self._server is not None and self._carried < MAILS_PER_CONNECTION:
            with suppress(OSError, smtplib.SMTPException):
                if self._server.rset()[0] == 250:
                    return self._server
        self.close()
        with _step("connect"):
            self._server, self._carried = self._open(), 0
        return self._server

    def _deliver(self, server: smtplib.SMTP, sender: str, recipient: str, mail: bytes) -> None:
        """Hand one mail over. Raises _RefusedError with the step in which that failed."""
        for step, command in (("mail", f"FROM:<{sender}>"), ("rcpt", f"TO:<{recipient}>"), ("data", "")):
            self._in_time(step)
            with _step(step):
                code, text = server.docmd(step.upper(), command)
            if code not in _GOOD[step]:
                raise _RefusedError(step, code, text)
        with _step("content"):
            server.send(_stuffed(mail))
        self._in_time("content")
        code, text = _finish(server)
        if not 200 <= code < 300:
            raise _RefusedError("dot", code, text)

    def _in_time(self, step: str) -> None:
        if self.clock() > self._deadline:
            raise _RefusedError(step, NO_REPLY, "The server is too slow.")

    def _open(self) -> smtplib.SMTP:
        context = ssl.create_default_context()
        if not self._verify:
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        server = (
            smtplib.SMTP_SSL(self._host, self._port, timeout=self._timeout, context=context)
            if self._implicit_tls
            else smtplib.SMTP(self._host, self._port, timeout=self._timeout)
        )
        try:
            self._introduce(server, context)
        except BaseException:
            server.close()
            raise
        return server

    def _introduce(self, server: smtplib.SMTP, context: ssl.SSLContext) -> None:
        server.ehlo_or_helo_if_needed()
        if self._starttls:
            if not server.has_extn("starttls"):
                raise _RefusedError("unsupported", NO_REPLY, "The server offers no STARTTLS.")
            with _step("tls"):
                code, text = server.starttls(context=context)
            if code != 220:
                raise _RefusedError("tls", code, text)
            server.ehlo_or_helo_if_needed()
        if server.sock is not None:
            # The dot is a small packet after a big one: it must not wait for an acknowledgement.
            server.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self.config.login:
            with _step("login"):
                server.login(self.config.login, self.config.password)


class _step:  # noqa: N801 - reads as a word in `with _step("rcpt")`
    """Turns whatever breaks inside into a _RefusedError of that step."""

    def __init__(self, step: str) -> None:
        self._step = step

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        match error:
            case None | _RefusedError():
                return
            case ssl.SSLCertVerificationError():
                raise _RefusedError("certificate", NO_REPLY, error.verify_message) from None
            case smtplib.SMTPResponseException():
                raise _RefusedError(self._step, error.smtp_code, error.smtp_error) from None
            case smtplib.SMTPNotSupportedError():
                raise _RefusedError("unsupported", NO_REPLY, str(error)) from None
            case smtplib.SMTPException() if type(error) is smtplib.SMTPException:
                raise _RefusedError("unsupported", NO_REPLY, str(error)) from None  # no common way to log in
            case OSError() | UnicodeError() | ValueError():
                raise _RefusedError(self._step, NO_REPLY, type(error).__name__) from None


def _finish(server: smtplib.SMTP) -> tuple[int, bytes]:
    """Say the final dot and hear the answer. What smtplib itself makes of an endless line is no answer."""
    with _step("dot"):
        if server.sock is not None:
            server.sock.settimeout(DOT_TIMEOUT)
        server.send(b".\r\n")
        try:
            code, text = server.getreply()
        except smtplib.SMTPResponseException:
            raise _RefusedError("dot", NO_REPLY) from None
        if server.sock is not None:
            server.sock.settimeout(server.timeout)
    return code, text


def _keyed(mail: bytes, host: str, idem_key: str) -> bytes:
    """Resend's SMTP server takes the key as a header; others would only pass it on."""
    if not host.lower().endswith(".resend.com") or not re.fullmatch(r"[\x21-\x7e]{1,256}", idem_key):
        return mail
    return f"Resend-Idempotency-Key: {idem_key}\r\n".encode("ascii") + mail


def _stuffed(mail: bytes) -> bytes:
    return re.sub(rb"(?m)^\.", b"..", mail)


def _message_id(mail: bytes) -> str | None:
    found = re.search(rb"^Message-ID: <([^>\r\n]+)>", mail, re.MULTILINE)
    return found.group(1).decode("ascii", "replace") if found else None
