"""`skene-airflow suppressions` on a real ledger."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from skene_airflow.channels import Channel
from skene_airflow.cli import main
from skene_airflow.testing import ResendServer
from tests.integration.shop import Shop, everybody, mailed


def test_people_are_added_listed_moved_and_removed(
    shop: Shop, server: ResendServer, resend: Channel, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def skene(*words: str) -> tuple[int, str]:
        capsys.readouterr()
        code = main(["suppressions", *words, "--ledger", shop.uri])
        return code, capsys.readouterr().out

    why = ("--reason", "asked by phone", "--actor", "ada")
    assert skene("add", "--address", " User1@Example.com", *why) == (0, "added\n")
    assert skene("add", "--address", "user1@example.com", *why) == (0, "was there already\n")
    shop.dormant(2)
    shop.run(resend)
    assert mailed(server) == everybody(1, first=2)
    exported = skene("export")[1]
    assert "user1" not in exported.lower()
    file = tmp_path / "people.csv"
    file.write_text(exported, encoding="utf-8")
    assert skene("import", str(file), *why) == (0, "0 suppressions added, 1 there already\n")
    file.write_text("address,scope\nx@example.com,marketing\n,all\n", encoding="utf-8")
    assert skene("import", str(file), *why)[0] == 2
    assert len(json.loads(skene("list", "--format", "json")[1])) == 1
    assert skene("remove", "--address", "user1@example.com", *why) == (0, "1 suppression removed\n")
    shop.run(resend)
    assert mailed(server) == everybody(2)
    assert skene("add", "--scope", "everything", "--user", "1", *why)[0] == 2
    audit = shop.sql("SELECT action, actor, details::text FROM skene.audit")
    assert [row["action"].split()[1] for row in audit] == ["add", "add", "add", "remove"]
    assert "example.com" not in str(audit)
