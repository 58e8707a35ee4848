"""The examples of the guides *add a channel* and *add a gate* are code that works."""

from __future__ import annotations

import importlib.util
import re
from contextlib import ExitStack
from email import message_from_bytes
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import psycopg

from skene_airflow.audience.gates import Gate
from skene_airflow.channels import CHANNELS, Channel, ChannelConfig
from skene_airflow.nouns import PROVIDERS, Answer, Message
from tests.contract import test_channels as contract

GUIDES = Path(__file__).resolve().parents[2] / "docs" / "how-to"
MAIL = Message(
    delivery_id=1,
    message_key="a" * 32,
    to="ada@example.com",
    sender="Acme <hello@acme.example>",
    subject="Hello",
    html="<p>Hello</p>",
    text="Hello",
)


def blocks(guide: str) -> dict[str, str]:
    """File → its example in the guide."""
    text = (GUIDES / guide).read_text(encoding="utf-8")
    found = re.findall(r"```python\n# (\S+)\n(.*?)```", text, re.DOTALL)
    assert found
    return dict(found)


def maildir(folder: Path) -> ModuleType:
    """The example of a channel, as a module in a file of its own."""
    file = folder / "maildir.py"
    file.write_text(blocks("add-a-channel.md")["skene_airflow/channels/maildir.py"], encoding="utf-8")
    spec = importlib.util.spec_from_file_location("maildir", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_example_of_a_channel_sends(tmp_path: Path) -> None:
    module = maildir(tmp_path)
    channel: Channel = module.MaildirChannel(ChannelConfig("maildir", host=str(tmp_path / "mail")))
    result = channel.send(channel.freeze([MAIL]), "sk/loop/main/1")
    assert result.answer is Answer.ACCEPTED
    [mail] = (tmp_path / "mail" / "new").iterdir()
    assert message_from_bytes(mail.read_bytes())["To"] == "ada@example.com"
    in_the_way = module.MaildirChannel(ChannelConfig("maildir", host=str(tmp_path / "maildir.py")))
    assert in_the_way.send(channel.freeze([MAIL]), "sk/loop/main/1").answer is Answer.ACCOUNT


def test_the_example_of_a_rig_breaks_and_mends_the_far_side(tmp_path: Path) -> None:
    names: dict[str, Any] = {name: value for name, value in vars(contract).items() if name not in ("os", "shutil")}
    exec(blocks("add-a-channel.md")["tests/contract/test_channels.py"], names)
    with ExitStack() as stack:
        rig = names["maildir_rig"](stack, tmp_path)
        channel: Channel = maildir(tmp_path).MaildirChannel(rig.config)
        for fault, answer in rig.faults.items():
            assert channel.send(channel.freeze([MAIL]), "sk/before").answer is Answer.ACCEPTED
            rig.break_(fault)
            assert channel.send(channel.freeze([MAIL]), "sk/loop/main/1").answer is answer
            rig.mend()
        assert channel.send(channel.freeze([MAIL]), "sk/after").answer is Answer.ACCEPTED
        assert "ada@example.com" in rig.taken()[-1].to


def test_the_files_that_the_guide_names_are_there() -> None:
    for guide in ("add-a-channel.md", "add-a-gate.md"):
        text = (GUIDES / guide).read_text(encoding="utf-8")
        for name in {
            *re.findall(r"`((?:skene_airflow|tests)/[\w/]+\.py)`", text),
            *re.findall(r"\(\.\./\.\./(\S+?)\)", text),
        }:
            assert "maildir" in name or (GUIDES.parents[1] / name).is_file(), name


def test_the_example_of_a_gate_skips_whom_it_says(pg: str) -> None:
    found = blocks("add-a-gate.md")
    [name, value] = re.findall(r"[A-Za-z_]+", found["skene_airflow/nouns.py"])
    text = found["skene_airflow/audience/gates.py"].strip().rstrip(",")
    gate = eval(text, {"Gate": Gate, "Reason": SimpleNamespace(**{name: value})})
    people = "VALUES ('NoReply@example.com'), ('ada@example.com'), (NULL)"
    with psycopg.connect(pg) as conn:
        rows = conn.execute(f"SELECT f.address FROM ({people}) AS f (address) WHERE {gate.sql}".encode()).fetchall()
    assert rows == [("NoReply@example.com",)]


def test_every_channel_has_its_name_where_commands_look() -> None:
    assert set(PROVIDERS) == set(CHANNELS)
