from __future__ import annotations

import json
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from skene_airflow.channels import ChannelConfig, make_channel
from skene_airflow.errors import SettingsError
from skene_airflow.nouns import Answer, Message


def message(number: int = 1, subject: str = "Hi", html: str = "<p>Hi</p>", text: str = "Hi\n\nthere") -> Message:
    key = f"{number:032x}"
    tags = (("sk_delivery", str(number)),)
    return Message(number, key, f"user{number}@example.com", "ada@acme.example", subject, html, text, tags=tags)


def put(folder: Path, *messages: Message, key: str = "sk/loop/main/1") -> tuple[str | None, ...]:
    with make_channel(ChannelConfig("outbox", host=str(folder))) as channel:
        result = channel.send(channel.freeze(messages), key)
    assert result.answer is Answer.ACCEPTED
    return result.message_ids


def calls(script: Path) -> list[list[object]]:
    """The arguments of each line of a data script."""
    lines = script.read_text(encoding="ascii").splitlines()
    return [json.loads(re.sub(r"^\w+\((.*)\);$", r"[\1]", line)) for line in lines]


def test_a_mail_is_a_file_named_by_its_delivery(tmp_path: Path) -> None:
    (name,) = put(tmp_path, message(4321))
    assert name == "mails/4/4321-000000000000.eml"
    assert (tmp_path / name).read_bytes().startswith(b"From: ada@acme.example\r\nTo: user4321@example.com\r\n")


def test_the_same_batch_again_changes_no_file(tmp_path: Path) -> None:
    with make_channel(ChannelConfig("outbox", host=str(tmp_path))) as channel:
        body = channel.freeze([message(1), message(2)])
        channel.send(body, "sk/1")
        before = {path: path.read_bytes() for path in tmp_path.rglob("*.eml")}
        channel.send(body, "sk/1")
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.eml")} == before


def test_no_temporary_file_is_left(tmp_path: Path) -> None:
    put(tmp_path, message(1), message(2))
    assert [path for path in tmp_path.rglob(".*") if path.is_file()] == []


def test_the_list_says_who_what_and_when(tmp_path: Path) -> None:
    put(tmp_path, message(1, subject="Hello"))
    ((page, at, rows),) = calls(tmp_path / "mails.js")
    assert rows == [
        [
            "mails/0/1-000000000000.eml",
            "Hello",
            "user1@example.com",
            "ada@acme.example",
            "Hi there",
            {"sk_delivery": "1"},
        ]
    ]
    assert isinstance(at, str)
    ((name, views),) = calls(tmp_path / "pages" / f"{page}.js")
    assert name == page
    assert views == {"mails/0/1-000000000000.eml": ["<p>Hi</p>", "Hi\n\nthere", []]}


def test_nothing_in_a_mail_can_end_the_script(tmp_path: Path) -> None:
    hostile = "</script><script>alert(1)</script>\u2028'\"`${1}"
    put(tmp_path, message(1, subject=hostile, html=hostile, text=hostile))
    for script in (tmp_path / "mails.js", *(tmp_path / "pages").iterdir()):
        text = script.read_text(encoding="ascii")
        assert "<" not in text
        assert text.count("\n") == 1
    assert hostile in json.dumps(calls(tmp_path / "mails.js"), ensure_ascii=False).replace('\\"', '"')


def test_the_page_is_the_same_however_many_mails_there_are(tmp_path: Path) -> None:
    put(tmp_path, message(1))
    first = (tmp_path / "index.html").read_bytes()
    put(tmp_path, message(2), key="sk/2")
    assert (tmp_path / "index.html").read_bytes() == first
    assert len(calls(tmp_path / "mails.js")) == 2


def test_the_page_asks_nothing_of_the_network(tmp_path: Path) -> None:
    put(tmp_path, message(1))
    sources: list[str | None] = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            sources.extend(value for name, value in attrs if name in {"src", "href"})

    Reader().feed((tmp_path / "index.html").read_text(encoding="utf-8"))
    assert sources == ["mails.js"]


def test_a_mail_is_shown_where_it_can_do_nothing(tmp_path: Path) -> None:
    put(tmp_path, message(1))
    page = (tmp_path / "index.html").read_text(encoding="utf-8")
    (allowed,) = re.findall(r'setAttribute\("sandbox", "([^"]*)"\)', page)
    assert not {"allow-scripts", "allow-same-origin", "allow-forms", "allow-top-navigation"} & set(allowed.split())
    assert "innerHTML" not in page


WRITER = """
import sys
from skene_airflow.channels import ChannelConfig, make_channel
from skene_airflow.nouns import Message
first = int(sys.argv[2])
with make_channel(ChannelConfig("outbox", host=sys.argv[1])) as channel:
    for at in range(first, first + 200, 10):
        mails = [
            Message(i, f"{i:032x}", f"u{i}@example.com", "a@acme.example", "Hi", "<p>", "x" * 500)
            for i in range(at, at + 10)
        ]
        assert channel.send(channel.freeze(mails), f"sk/{at}").answer == "accepted"
"""


def test_several_processes_may_write_at_once(tmp_path: Path) -> None:
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path), str(first)]) for first in (1000, 2000, 3000)
    ]
    assert [writer.wait(60) for writer in writers] == [0, 0, 0]
    assert len(list(tmp_path.rglob("*.eml"))) == 600
    assert sum(len(rows) for _, _, rows in calls(tmp_path / "mails.js") if isinstance(rows, list)) == 600


def test_garbage_is_refused(tmp_path: Path) -> None:
    channel = make_channel(ChannelConfig("outbox", host=str(tmp_path)))
    assert channel.send(b"{}", "sk/1").answer is Answer.BAD_LOT


def test_the_connection_test_says_when_it_cannot_write(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    works, sentence = make_channel(ChannelConfig("outbox", host=str(tmp_path / "file" / "box"))).test()
    assert not works
    assert "cannot be written" in sentence


def test_a_folder_must_be_named() -> None:
    with pytest.raises(SettingsError, match="folder"):
        make_channel(ChannelConfig("outbox"))
