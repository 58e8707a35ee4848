"""The contract of every channel. A new channel adds a rig to this list and passes the same tests."""

from __future__ import annotations

import email
import email.policy
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.header import decode_header, make_header
from email.message import EmailMessage
from email.utils import parseaddr
from pathlib import Path

import pytest

from skene_airflow.channels import CHANNELS, Channel, ChannelConfig, make_channel
from skene_airflow.nouns import Answer, Message
from skene_airflow.testing import Reply, Request, ResendServer
from skene_airflow.testing.resend_faults import refusal
from tests.smtp_server import SmtpServer

NOON = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
ECHO = (
    'The address "Ada Lovelace" <user1@example.com> (or user1%40example.com) is not\r\nwelcome re_secret_1 ' + "x" * 300
)


@dataclass(frozen=True)
class Mail:
    """What arrived, as the far side reads it."""

    to: str
    sender: tuple[str, str]
    subject: str
    html: str
    text: str
    headers: dict[str, str]


@dataclass
class Rig:
    """A channel, its far side, and the ways to break that."""

    config: ChannelConfig
    taken: Callable[[], list[Mail]]
    break_: Callable[[str], None]
    mend: Callable[[], None]
    faults: dict[str, Answer]

    def open(self) -> Channel:
        """The channel, its clock standing still."""
        channel = make_channel(self.config)
        channel.now = lambda: NOON
        return channel


def message(number: int, **changes: object) -> Message:
    """One ordinary mail."""
    usual = Message(
        delivery_id=number,
        message_key=f"{number:032x}",
        to=f"user{number}@example.com",
        sender="Ada at Acme <ada@acme.example>",
        subject="We miss you",
        html="<p>Hi</p>",
        text="Hi",
        headers=(
            ("List-Unsubscribe", f"<https://acme.example/skene/u/{'t' * 120}>"),
            ("List-Unsubscribe-Post", "List-Unsubscribe=One-Click"),
        ),
        tags=(("sk_delivery", str(number)), ("sk_loop", "re_engagement"), ("sk_step", "main")),
    )
    return replace(usual, **changes)  # type: ignore[arg-type]


def readable(sender: str) -> tuple[str, str]:
    """Name and address. (The parser of Python 3.11's newer policies puts spaces between encoded words of a name.)"""
    name, address = parseaddr(sender)
    return str(make_header(decode_header(name))), address


def parsed(content: bytes) -> Mail:
    """A MIME mail through the standard library's parser, which must not complain."""
    mail = email.message_from_bytes(content, policy=email.policy.SMTP)
    assert isinstance(mail, EmailMessage)
    assert not mail.defects
    html, text = mail.get_body(("html",)), mail.get_body(("plain",))
    return Mail(
        str(mail["To"]),
        readable(str(email.message_from_bytes(content)["From"])),
        str(mail["Subject"]),
        html.get_content() if html else "",
        text.get_content() if text else "",
        {name: str(value) for name, value in mail.items()},
    )


def resend_rig(stack: ExitStack, tmp_path: Path) -> Rig:
    """Resend against its double."""
    plan: list[str | Reply | None] = [None]

    def faults(request: Request) -> str | Reply | None:
        return refusal(422, "validation_error", ECHO) if plan[0] == "refused" else plan[0]

    server = stack.enter_context(ResendServer(faults=faults, hang=5))

    def taken() -> list[Mail]:
        mails = [row.mail for row in server.accepted if row.mail is not None]
        assert all(len(mail["to"]) == 1 for mail in mails)
        return [
            Mail(m["to"][0], parseaddr(m["from"]), m["subject"], m["html"], m["text"], m.get("headers", {}))
            for m in mails
        ]

    return Rig(
        ChannelConfig("resend", host=server.url, password="re_secret_1", extra={"timeout": 0.4}),
        taken,
        lambda name: plan.__setitem__(0, name),
        lambda: plan.__setitem__(0, None),
        {
            "rate_limit": Answer.LATER,
            "quota": Answer.ACCOUNT,
            "monthly_quota": Answer.ACCOUNT,
            "bad_key": Answer.ACCOUNT,
            "restricted_key": Answer.ACCOUNT,
            "unverified_domain": Answer.ACCOUNT,
            "redirect": Answer.ACCOUNT,
            "concurrent": Answer.BUSY,
            "refused": Answer.BAD_LOT,
            "error_before": Answer.DOUBT,
            "unavailable": Answer.DOUBT,
            "gateway": Answer.DOUBT,
            "drop_before": Answer.DOUBT,
            "timeout": Answer.DOUBT,
            "error_after": Answer.DOUBT,
            "drop_after": Answer.DOUBT,
            "timeout_after": Answer.DOUBT,
            "malformed": Answer.DOUBT,
            "truncated": Answer.DOUBT,
            "short": Answer.DOUBT,
        },
    )


def smtp_rig(stack: ExitStack, tmp_path: Path) -> Rig:
    """SMTP against a real server."""
    server = stack.enter_context(SmtpServer())
    plans = {
        "mail_busy": ("mail", "451 try later", Answer.LATER),
        "mail_refused": ("mail", f"553 {ECHO[:60]}", Answer.ACCOUNT),
        "mail_too_big": ("mail", "552 too big", Answer.BAD_LOT),
        "mail_needs_login": ("mail", "530 log in first", Answer.ACCOUNT),
        "rcpt_greylisted": ("rcpt", "450 greylisted", Answer.LATER),
        "rcpt_unknown": ("rcpt", f"550 {ECHO[:60]}", Answer.BAD_LOT),
        "rcpt_shutdown": ("rcpt", "421 closing", Answer.LATER),
        "rcpt_drop": ("rcpt", "drop", Answer.LATER),
        "data_busy": ("data", "452 full", Answer.LATER),
        "data_refused": ("data", "554 no", Answer.BAD_LOT),
        "data_drop": ("data", "drop", Answer.LATER),
        "dot_busy": ("dot", "452 full", Answer.LATER),
        "dot_spam": ("dot", f"554 {ECHO[:60]}", Answer.BAD_LOT),
        "dot_shutdown": ("dot", "take 421 closing", Answer.DOUBT),
        "dot_nonsense": ("dot", "take 354 go on", Answer.DOUBT),
        "dot_drop": ("dot", "drop", Answer.DOUBT),
        "dot_take_drop": ("dot", "take_drop", Answer.DOUBT),
    }

    def taken() -> list[Mail]:
        for mail in server.taken:
            assert len(mail.recipients) == 1
        return [parsed(mail.content) for mail in server.taken]

    return Rig(
        ChannelConfig("smtp", "127.0.0.1", server.port, extra={"disable_tls": True, "timeout": 5}),
        taken,
        lambda name: server.plan.update([plans[name][:2]]),
        server.plan.clear,
        {name: answer for name, (_, _, answer) in plans.items()},
    )


def outbox_rig(stack: ExitStack, tmp_path: Path) -> Rig:
    """Files in a folder. (Tests may run as root, whom no permission stops: so folders become files.)"""
    folder, aside = tmp_path / "out" / "box", tmp_path / "aside"

    def break_(name: str) -> None:
        target = {"no_folder": tmp_path / "out", "no_subfolder": folder / "mails", "no_index": folder / "mails.js"}[
            name
        ]
        if target.exists():
            target.rename(aside)
        if name == "no_index":
            target.mkdir(parents=True)
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text("in the way")

    def mend() -> None:
        for path in (tmp_path / "out", folder / "mails"):
            if path.is_file():
                path.unlink()
        if (folder / "mails.js").is_dir():
            (folder / "mails.js").rmdir()

    return Rig(
        ChannelConfig("outbox", host=str(folder)),
        lambda: [parsed(path.read_bytes()) for path in sorted(folder.rglob("*.eml"))],
        break_,
        mend,
        {"no_folder": Answer.ACCOUNT, "no_subfolder": Answer.ACCOUNT, "no_index": Answer.DOUBT},
    )


RIGS = {"resend": resend_rig, "smtp": smtp_rig, "outbox": outbox_rig}


@pytest.fixture(params=RIGS)
def rig(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Rig]:
    """One channel with its far side."""
    with ExitStack() as stack:
        yield RIGS[request.param](stack, tmp_path)


def test_every_channel_is_held_to_this_contract() -> None:
    assert set(RIGS) == set(CHANNELS)


def batch(channel: Channel, **changes: object) -> list[Message]:
    """A batch as large as the channel takes, up to three."""
    return [message(number, **changes) for number in range(1, min(channel.batch_size, 3) + 1)]


def test_the_same_messages_freeze_to_the_same_bytes(rig: Rig) -> None:
    with rig.open() as one, rig.open() as other:
        assert one.freeze(batch(one)) == other.freeze(batch(other))
        assert one.freeze(batch(one)) != one.freeze(batch(one, subject="Another"))


def test_freezing_asks_nobody(rig: Rig) -> None:
    with rig.open() as channel:
        channel.freeze(batch(channel))
    assert rig.taken() == []


def test_every_accepted_message_has_an_id(rig: Rig) -> None:
    with rig.open() as channel:
        messages = batch(channel)
        result = channel.send(channel.freeze(messages), "sk/loop/main/1")
    assert result.answer is Answer.ACCEPTED
    assert len(result.message_ids) == len(set(result.message_ids)) == len(messages)
    assert all(result.message_ids)
    assert [mail.to for mail in rig.taken()] == [one.to for one in messages]


def test_the_window_says_whether_the_same_key_again_is_a_second_mail(rig: Rig) -> None:
    with rig.open() as channel:
        body = channel.freeze(batch(channel))
        first, again = (channel.send(body, "sk/loop/main/1") for _ in range(2))
        assert again == first
        calls_that_mailed = 2 if channel.window is None else 1
        assert len(rig.taken()) == calls_that_mailed * len(batch(channel))


def _faults() -> list[tuple[str, str, Answer]]:
    with ExitStack() as stack:
        return [
            (name, fault, answer)
            for name, make in RIGS.items()
            for fault, answer in make(stack, Path("nowhere")).faults.items()
        ]


@pytest.mark.parametrize(("name", "fault", "answer"), _faults())
def test_every_fault_has_its_answer_and_is_survived(name: str, fault: str, answer: Answer, tmp_path: Path) -> None:
    with ExitStack() as stack:
        rig = RIGS[name](stack, tmp_path)
        with rig.open() as channel:
            assert channel.send(channel.freeze([message(7)]), "sk/before").answer is Answer.ACCEPTED
            channel.close()
            body = channel.freeze([message(1)])
            rig.break_(fault)
            result = channel.send(body, "sk/loop/main/1")
            assert result.answer is answer
            assert re.fullmatch(r"[a-z][a-z0-9_]*", result.error)
            assert len(result.detail) <= 200
            assert result.detail.isprintable()
            assert not re.search(r"user1|Ada|re_secret", result.detail)
            rig.mend()
            assert channel.send(body, "sk/loop/main/1").answer is Answer.ACCEPTED


HOSTILE = [
    "Zoë, wir vermissen dich 💌 — 日本語のとても長い件名がここに入ります、折り返しが必要なほど長いのです",
    "Ordinary but long: " + "word " * 45,
    "W" * 250,
    'Quotes "and" <angles>, commas; (parens) \\ back',
    "=?utf-8?Q?not_encoded?=",
    "Hello\r\nBcc: eve@example.com",
    "Hello\x00\x1b[31m\u2028there",
    "  spaces   inside  ",
    "half a pair \ud83d end",
]


@pytest.mark.parametrize("subject", HOSTILE, ids=range(len(HOSTILE)))
def test_any_subject_arrives_as_one_line(rig: Rig, subject: str) -> None:
    with rig.open() as channel:
        channel.send(channel.freeze([message(1, subject=subject)]), "sk/loop/main/1")
    (mail,) = rig.taken()
    assert mail.subject == " ".join(re.sub("[\x00-\x1f\u2028\ud83d]", " ", subject).split())
    assert not {"Bcc", "bcc"} & mail.headers.keys()


@pytest.mark.parametrize("name", ["Ada, Countess", "Zoë O'Neil", "Ada \\ Acme", "日本語" * 12, "A.B", ""])
def test_any_name_arrives(rig: Rig, name: str) -> None:
    quoted = '"' + name.replace("\\", "\\\\") + '"'
    sender = f"{quoted} <ada@acme.example>" if name else "ada@acme.example"
    with rig.open() as channel:
        channel.send(channel.freeze([message(1, sender=sender, reply_to=sender)]), "sk/loop/main/1")
    (mail,) = rig.taken()
    assert mail.sender == (name, "ada@acme.example")


def test_bodies_arrive_whole(rig: Rig) -> None:
    html = "<p>Zoë 💌 = 3D\n.\n..dots\n" + "long " * 300 + "\n</p>  \nFrom here"
    with rig.open() as channel:
        channel.send(channel.freeze([message(1, html=html, text=f".\n{html}")]), "sk/loop/main/1")
    (mail,) = rig.taken()
    assert mail.html.replace("\r\n", "\n").rstrip("\n") == html
    assert mail.text.replace("\r\n", "\n").rstrip("\n") == f".\n{html}"


def test_the_one_click_headers_arrive_unfolded(rig: Rig) -> None:
    with rig.open() as channel:
        channel.send(channel.freeze([message(1)]), "sk/loop/main/1")
    (mail,) = rig.taken()
    assert dict(message(1).headers).items() <= mail.headers.items()


@pytest.mark.parametrize(
    "changes",
    [
        {"to": "user1@example.com, eve@example.com"},
        {"to": "user1@example.com\r\nRCPT TO:<eve@example.com>"},
        {"to": "Ada <user1@example.com> <eve@example.com>"},
        {"to": ""},
        {"sender": "ada@acme.example\nBcc: eve@example.com"},
        {"reply_to": "nobody"},
        {"headers": (("X-Ok", "a\r\nBcc: eve@example.com"),)},
        {"headers": (("Bcc", "eve@example.com"),)},
        {"headers": (("X Bad", "a"),)},
        {"message_key": '"\r\n'},
    ],
)
def test_what_must_not_leave_is_refused_and_reaches_nobody(rig: Rig, changes: dict[str, object]) -> None:
    with rig.open() as channel:
        result = channel.send(channel.freeze([message(1, **changes)]), "sk/loop/main/1")
    assert result.answer is Answer.BAD_LOT
    assert result.error.startswith("invalid_")
    assert rig.taken() == []


def test_closing_twice_is_fine_and_sending_opens_again(rig: Rig) -> None:
    channel = rig.open()
    channel.close()
    channel.send(channel.freeze([message(1)]), "sk/loop/main/1")
    channel.close()
    channel.close()
    assert channel.send(channel.freeze([message(2)]), "sk/loop/main/2").answer is Answer.ACCEPTED
    channel.close()


def test_a_batch_of_the_wrong_size_is_refused(rig: Rig) -> None:
    channel = rig.open()
    with pytest.raises(ValueError, match="messages"):
        channel.freeze([])
    with pytest.raises(ValueError, match="messages"):
        channel.freeze([message(1)] * (channel.batch_size + 1))


def test_the_connection_test_works_and_sends_nothing(rig: Rig) -> None:
    with rig.open() as channel:
        works, sentence = channel.test()
    assert works
    assert sentence
    assert rig.taken() == []


def test_the_table_ends_with_a_line_that_fits_everything(rig: Rig) -> None:
    last = rig.open().table[-1]
    assert all(last.fits(code, "whatever") for code in range(1000))
