"""What was found good is not judged again, and nothing that was broken or edited is ever taken for good."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pytest

from skene_airflow.dag_factory import load_loops
from skene_airflow.message import template


@pytest.fixture(autouse=True)
def judged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A memo of the test's own; the list has the loops whose templates were judged."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    names: list[str] = []
    check = template.check_templates

    def counted(loop: object) -> object:
        names.append(getattr(loop, "id", ""))
        return check(loop)  # type: ignore[arg-type]

    monkeypatch.setattr(template, "check_templates", counted)
    return names


def again(folder: Path, judged: list[str]) -> tuple[set[str], list[str]]:
    """Load the folder; the DAGs that stand in for broken loops, and what was judged."""
    judged.clear()
    dags = load_loops(folder)
    return {name for name, dag in dags.items() if "broken" in dag.tags}, sorted(judged)


def test_the_second_time_only_what_changed_is_judged(folder: Path, text: str, judged: list[str]) -> None:
    shutil.copy(folder / "templates" / "re_engagement.html", folder / "templates" / "mail.html")
    (folder / "other.yaml").write_text(text.replace("template: re_engagement", "template: mail"))
    assert again(folder, judged) == (set(), ["other", "re_engagement"])
    assert again(folder, judged) == (set(), [])
    mail = folder / "templates" / "mail.html"
    mail.write_text(mail.read_text().replace("Until soon", "See you"))
    assert again(folder, judged) == (set(), ["other"])
    (folder / "other.yaml").rename(folder / "renamed.yaml")
    assert again(folder, judged) == (set(), ["renamed"])


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("re_engagement.yaml", "SELECT *", "SELEKT *"),
        ("re_engagement.yaml", "0 9 * * *", "61 9 * * *"),
        ("re_engagement.yaml", "name: ", "nmae: "),
        ("templates/re_engagement.html", "{{ name }}", "{{ nmae }}"),
        ("templates/re_engagement.html", "subject:", "subjekt:"),
    ],
)
def test_what_breaks_is_seen_each_time_and_what_is_mended_too(
    folder: Path, judged: list[str], file: str, old: str, new: str
) -> None:
    assert again(folder, judged)[0] == set()
    good = (folder / file).read_text()
    (folder / file).write_text(good.replace(old, new))
    for _ in range(2):
        assert again(folder, judged)[0] == {"re_engagement"}
    (folder / file).write_text(good)
    assert again(folder, judged) == (set(), [])


def test_what_is_new_beside_it_counts(folder: Path, judged: list[str]) -> None:
    assert again(folder, judged)[0] == set()
    (folder / "_defaults.yaml").write_text("recovery: {retries: -1}\n")
    assert again(folder, judged)[0] == set(), "the loop says how often it is tried again"
    (folder / "_defaults.yaml").write_text("expires_after: never\n")
    assert again(folder, judged)[0] == {"re_engagement"}
    (folder / "_defaults.yaml").unlink()
    (folder / "templates" / "re_engagement.md").write_text((folder / "templates" / "re_engagement.html").read_text())
    assert again(folder, judged)[0] == {"re_engagement"}
    (folder / "templates" / "re_engagement.html").unlink()
    (folder / "templates" / "re_engagement.md").unlink()
    assert again(folder, judged)[0] == {"re_engagement"}
