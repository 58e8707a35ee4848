"""Golden files for users' templates: what was approved stays, what changes is shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from skene_airflow.errors import LoopError, MissingVariable, SettingsError
from skene_airflow.testing import check_golden, rendered

LOOP = """\
type: retention
opinion: People who left come back
steps:
  - trigger: {type: schedule, cron: "0 9 * * *"}
    condition: SELECT * FROM users
    action: {type: email, template: hello, personalization: {name: "{{ user.name }}"}}
"""
PAGE = (
    "---\nsubject: Hi {{ name }}\n---\n<p>Hi {{ name }}, {{ user.seen | ago }}, {{ user.price | money('EUR') }}</p>\n"
)


@pytest.fixture
def loop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("SKENE_GOLDEN", raising=False)
    path = tmp_path / "loops" / "hello.yaml"
    (path.parent / "templates").mkdir(parents=True)
    path.write_text(LOOP, encoding="utf-8")
    (path.parent / "templates" / "hello.html").write_text(PAGE, encoding="utf-8")
    return path


def test_values_are_given_or_made_up(loop: Path) -> None:
    mail = rendered(loop, {"name": "<Grace>"})
    assert mail.subject == "Hi <Grace>"
    assert "Hi &lt;Grace&gt;, 1 week ago, €12.00" in mail.html
    assert rendered(loop, {"name": "<Grace>"}) == mail
    assert "vor 1 Woche, 12,00\u00a0€" in rendered(loop, locale="de").html


def test_null_is_a_value_that_is_missing(loop: Path) -> None:
    with pytest.raises(MissingVariable, match=r"user\.name"):
        rendered(loop, {"name": None})


def test_a_golden_file_is_written_on_request_and_held(
    loop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    golden = tmp_path / "golden" / "hello"
    mail = rendered(loop)
    with pytest.raises(AssertionError, match="SKENE_GOLDEN=write"):
        check_golden(mail, golden)
    monkeypatch.setenv("SKENE_GOLDEN", "write")
    check_golden(mail, golden)
    monkeypatch.delenv("SKENE_GOLDEN")
    check_golden(mail, golden)
    text = golden.with_name("hello.txt").read_text(encoding="utf-8")
    assert text.startswith("From: Acme <hello@acme.example>\nSubject: Hi Ada\n\nHi Ada, 1 week ago")
    template = loop.parent / "templates" / "hello.html"
    template.write_text(PAGE.replace("<p>Hi", "<p>Hello"), encoding="utf-8")
    with pytest.raises(AssertionError, match=r"hello\.html differs in line \d+:\n- .*Hi Ada.*\n\+ .*Hello Ada"):
        check_golden(rendered(loop), golden)
    template.write_text(PAGE.replace("subject: Hi", "subject: Dear"), encoding="utf-8")
    with pytest.raises(AssertionError, match="differs"):
        check_golden(rendered(loop), golden)


def test_what_is_not_there_is_told(loop: Path) -> None:
    with pytest.raises(SettingsError, match="there: main/all"):
        rendered(loop, step="nope")
    (loop.parent / "templates" / "hello.html").write_text("---\nsubject: x\n---\n{{ nope }}", encoding="utf-8")
    with pytest.raises(LoopError, match="SK311"):
        rendered(loop)
    with pytest.raises(LoopError):
        rendered(loop.with_name("none.yaml"))
