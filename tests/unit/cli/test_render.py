"""`render`: a mail as it would arrive, read back with real parsers; real people only when they are asked for."""

from __future__ import annotations

import json
from email import message_from_bytes, message_from_string
from email.policy import default
from pathlib import Path

import psycopg
import pytest

from skene_airflow.cli import main

Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def site(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__SKENE__BASE_URL", "https://acme.example/skene")
    monkeypatch.setenv("AIRFLOW__SKENE__SECRET_KEY", "a long random text")
    monkeypatch.setenv("AIRFLOW__SKENE__POSTAL_ADDRESS", "Acme Inc., 1 Example Street")


def test_a_sample_person_needs_no_database(loops: Path, capsys: Capture) -> None:
    assert main(["render", "hello", "--loops", str(loops)]) == 0
    out, err = capsys.readouterr()
    head, _, text = out.partition("\n\n")
    assert head.startswith(
        "From: Acme <hi@acme.example>\nTo: ada@example.com\nSubject: Hi Ada\nList-Unsubscribe: <https"
    )
    assert text.startswith("Hi Ada\n\nHere since ")
    assert err == ""


def test_it_writes_three_files(loops: Path, tmp_path: Path, capsys: Capture) -> None:
    out = tmp_path / "new" / "mails"
    assert main(["render", "hello", "--loops", str(loops), "--locale", "de_CH", "--out", str(out)]) == 0
    assert sorted(path.name for path in out.iterdir()) == [
        "hello.main.de.eml", "hello.main.de.html", "hello.main.de.txt"
    ]  # fmt: skip
    assert capsys.readouterr().out.count("wrote ") == 3
    mail = message_from_bytes((out / "hello.main.de.eml").read_bytes(), policy=default)
    assert mail["Subject"] == "Hallo Ada"
    assert mail.get_content_type() == "multipart/alternative"
    assert [part.get_content_type() for part in mail.iter_parts()] == ["text/plain", "text/html"]
    plain, page = (part.get_content() for part in mail.iter_parts())
    assert page.replace("\r\n", "\n").strip() == (out / "hello.main.de.html").read_text(encoding="utf-8").strip()
    assert plain.replace("\r\n", "\n").strip() == (out / "hello.main.de.txt").read_text(encoding="utf-8").strip()
    assert mail["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert not mail.defects


@pytest.mark.parametrize(("style", "begins"), [("html", "<!doctype html>"), ("eml", "From: Acme")])
def test_one_part_to_the_screen(loops: Path, capsys: Capture, style: str, begins: str) -> None:
    assert main(["render", "hello", "--loops", str(loops), "--format", style]) == 0
    out = capsys.readouterr().out
    assert out.startswith(begins)
    assert style == "html" or message_from_string(out, policy=default)["Subject"] == "Hi Ada"


def test_json_holds_every_part(loops: Path, capsys: Capture) -> None:
    assert main(["render", "hello", "--loops", str(loops), "--format", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["loop_id"], found["step_id"], found["segment"], found["variant"]) == ("hello", "main", "all", None)
    assert found["headers"]["To"] == "ada@example.com"
    assert "Hi Ada</h1>" in found["html"]
    assert found["text"].startswith("Hi Ada")
    assert message_from_string(found["eml"], policy=default)["Subject"] == "Hi Ada"


def test_a_real_person_only_on_request(loops: Path, shop: str, capsys: Capture) -> None:
    assert main(["render", "hello", "--loops", str(loops), "--source", shop]) == 0
    first = capsys.readouterr().out
    assert "To: grace@example.com\nSubject: Hallo Grace" in first
    assert "Seit 1. März 2026 hier." in first
    assert main(["render", "hello", "--loops", str(loops), "--source", shop, "--user", "2"]) == 0
    assert "To: alan@example.com\nSubject: Hi Alan" in capsys.readouterr().out
    assert main(["render", "hello", "--loops", str(loops), "--source", shop, "--user", "2", "--locale", "de"]) == 0
    assert "Subject: Hallo Alan" in capsys.readouterr().out


def test_nothing_is_written_to_the_database(loops: Path, shop: str) -> None:
    assert main(["render", "hello", "--loops", str(loops), "--source", shop]) == 0
    with psycopg.connect(shop) as conn:
        assert conn.execute("SELECT count(*) FROM pg_namespace WHERE nspname = 'skene'").fetchone() == (0,)


@pytest.mark.parametrize(("key", "said"), [("3", "'user.name' is missing"), ("4", "not exactly one")])
def test_a_person_without_a_mail_is_1(loops: Path, shop: str, capsys: Capture, key: str, said: str) -> None:
    assert main(["render", "hello", "--loops", str(loops), "--source", shop, "--user", key]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("skene-airflow render: no mail can be made for this person: ")
    assert said in err


@pytest.mark.parametrize("key", ["99", "1'; DROP TABLE users; --", "", "%s", "\u202e"])
def test_somebody_whom_the_query_does_not_return_is_2(loops: Path, shop: str, capsys: Capture, key: str) -> None:
    assert main(["render", "hello", "--loops", str(loops), "--source", shop, "--user", key]) == 2
    assert "does not return this person" in capsys.readouterr().err
    with psycopg.connect(shop) as conn:
        assert conn.execute("SELECT count(*) FROM users").fetchone() == (4,)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--step", "x"], "there is no step 'x'; there: main"),
        (["--segment", "x"], "there is no segment 'x'; there: all"),
        (["--variant", "x"], "so none is named 'x'"),
        (["--source", "postgresql://127.0.0.1:1/x"], "the database cannot be reached"),
        (["--out", "/dev/null/mails"], "cannot be written"),
    ],
)
def test_what_is_not_there_is_2_and_one_line(loops: Path, capsys: Capture, more: list[str], said: str) -> None:
    assert main(["render", "hello", "--loops", str(loops), *more]) == 2
    err = capsys.readouterr().err
    assert said in err
    assert "Traceback" not in err


def test_a_broken_template_is_1(loops: Path, capsys: Capture) -> None:
    (loops / "templates" / "hello.html").write_text("---\nsubject: x\n---\n{{ nope }}", encoding="utf-8")
    assert main(["render", "hello", "--loops", str(loops)]) == 1
    assert "loops/templates/hello.html:4:4: 'nope' is not in scope" in capsys.readouterr().err


def test_what_a_reader_stumbles_over_is_told(loops: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AIRFLOW__SKENE__BASE_URL")
    assert main(["render", "hello", "--loops", str(loops)]) == 0
    assert "warning: no List-Unsubscribe header" in capsys.readouterr().err
