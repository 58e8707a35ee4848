from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

Said = Callable[..., tuple[int, str, str]]


def test_one_row_for_each_step(said: Said) -> None:
    code, out, err = said("list")
    head, row = out.splitlines()
    assert (code, err) == (0, "")
    assert head.split() == ["loop", "schedule", "segments", "channel", "connection", "mode"]
    assert row.split() == ["re_engagement", "0", "9", "*", "*", "*", "all", "email", "resend_default", "live"]


def test_a_message_in_the_app_has_no_connection(said: Said, here: Path) -> None:
    (here / "loops" / "re_engagement.yaml").write_text(
        "type: adoption\nopinion: News\nsteps:\n  - trigger: {type: manual}\n"
        "    condition: SELECT id FROM users\n    action: {type: in_app, title: New, body: Look}\n",
        encoding="utf-8",
    )
    _, out, _ = said("list")
    assert out.splitlines()[1].split() == ["re_engagement", "manual", "all", "in_app", "–", "live"]


def test_json_names_what_runs_when(said: Said) -> None:
    code, out, _ = said("list", "--format", "json")
    assert code == 0
    (row,) = json.loads(out)["loops"]
    assert row["loop_id"] == "re_engagement"
    assert row["schedule"] == "0 9 * * *"


def test_a_broken_file_is_1_and_not_silent(said: Said, here: Path) -> None:
    (here / "loops" / "broken.yaml").write_text("a: [\n", encoding="utf-8")
    code, out, err = said("list")
    assert code == 1
    assert "re_engagement" in out
    assert err == "1 broken file: skene-airflow validate says why\n"
    assert json.loads(said("list", "--format", "json")[1])["errors"][0]["file"] == "loops/broken.yaml"


def test_an_empty_folder_says_so(said: Said, here: Path) -> None:
    (here / "empty").mkdir()
    assert said("list", "--loops", "empty") == (0, "no loops in empty\n", "")
