"""`validate` and `lint`: every fault of every file, in three forms, with the right exit code."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

Said = Callable[..., tuple[int, str, str]]
BROKEN = """\
type: a
opinon: b
steps:
  - trigger: {type: manual}
    condition: SELECT *
      FORM users
    action: {}
"""
AIRFLOW_FREE = """\
import sys
from skene_airflow.cli import main
code = main(sys.argv[1:])
sys.exit(code or "airflow" in sys.modules)
"""


def write(here: Path, name: str, text: str) -> None:
    path = here / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def test_a_good_folder_is_0(said: Said) -> None:
    assert said("validate") == (0, "1 loop, 0 faults\n", "")


def test_all_faults_of_all_files_are_sorted_and_end_with_1(said: Said, here: Path) -> None:
    write(here, "loops/a_broken.yaml", BROKEN)
    write(here, "loops/sub/z.yaml", "a: [")
    write(here, "loops/templates/re_engagement.html", "---\nsubject: Hi {{ nobody }}\n---\n<p>{{ nothing }}</p>\n")
    code, out, _ = said("validate")
    lines = out.splitlines()
    places = [tuple(line.split(": ")[0].split(":")) for line in lines[:-1]]
    assert code == 1
    assert lines[-1] == "3 loops, 6 faults"
    assert [place[0] for place in places] == sorted(place[0] for place in places)
    assert places == sorted(places, key=lambda place: (place[0], int(place[1]), int(place[2])))
    assert {place[0] for place in places} == {
        "loops/a_broken.yaml",
        "loops/sub/z.yaml",
        "loops/templates/re_engagement.html",
    }


def test_json_holds_what_the_contract_says(said: Said, here: Path) -> None:
    write(here, "loops/a_broken.yaml", BROKEN)
    code, out, _ = said("validate", "--format", "json")
    answer = json.loads(out)
    assert code == 1
    assert answer["loops"] == 2
    assert answer["warnings"] == []
    assert set(answer["errors"][0]) == {"file", "line", "column", "path", "code", "message", "suggestion"}
    first = answer["errors"][0]
    assert (first["file"], first["line"], first["column"]) == ("loops/a_broken.yaml", 2, 1)
    assert (first["path"], first["code"], first["suggestion"]) == ("opinon", "SK012", "did you mean 'opinion'?")


def test_github_gets_annotations_with_everything_escaped(said: Said, here: Path) -> None:
    write(here, "loops/a,b:c.yaml", "type: a\n'50%\\n': b\n")
    code, out, _ = said("validate", "--format", "github")
    assert code == 1
    assert out.startswith("::error file=loops/a%2Cb%3Ac.yaml,line=1,col=1,title=SK")
    assert "50%25" in out
    assert all(line.startswith("::error ") for line in out.splitlines())
    (here / "loops" / "a,b:c.yaml").unlink()
    assert said("validate", "--format", "github") == (0, "", "")


def test_lint_warns_and_only_strict_minds(said: Said) -> None:
    code, out, _ = said("lint")
    assert code == 0
    assert "re_engagement.yaml:10:59: warning: " in out
    assert out.endswith("1 loop, 0 faults, 2 warnings\n")
    assert said("lint", "--strict")[0] == 1
    assert "\n::warning file=loops/re_engagement.yaml,line=10,col=59" in said("lint", "--format", "github")[1]
    found = json.loads(said("lint", "--format", "json")[1])["warnings"]
    assert [warning["code"] for warning in found] == ["SK405", "SK401"]


def test_paths_choose_loops_and_keep_their_folder(said: Said, here: Path) -> None:
    write(here, "loops/a_broken.yaml", BROKEN)
    assert said("validate", "loops/re_engagement.yaml") == (0, "1 loop, 0 faults\n", "")
    assert said("validate", "loops")[0] == 1
    assert said("validate", "loops/a_broken.yaml", "loops/re_engagement.yaml")[1].endswith("2 loops, 3 faults\n")


@pytest.mark.parametrize("words", [["nowhere.yaml"], ["loops/templates/re_engagement.html"], ["--loops", "nowhere"]])
def test_what_is_not_there_is_2(said: Said, words: list[str]) -> None:
    code, out, err = said("validate", *words)
    assert (code, out) == (2, "")
    assert err.startswith("skene-airflow validate: ")


def test_the_folder_is_the_option_then_the_setting(said: Said, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (here / "loops").rename(here / "mine")
    assert said("validate")[0] == 2
    assert said("validate", "--loops", "mine")[0] == 0
    monkeypatch.setenv("AIRFLOW__SKENE__LOOPS_FOLDER", str(here / "mine"))
    assert said("validate")[0] == 0
    monkeypatch.delenv("AIRFLOW__SKENE__LOOPS_FOLDER")
    assert said("validate", "mine/re_engagement.yaml")[1] == "1 loop, 0 faults\n"


def test_a_database_says_what_no_parser_can(said: Said, pg: str) -> None:
    code, _, err = said("validate", "--source", "postgresql://127.0.0.1:1/app")
    assert (code, "cannot be reached" in err) == (2, True)
    code, out, _ = said("validate", "--source", pg)
    assert code == 1
    assert (
        'loops/re_engagement.yaml:10:28: steps[0].condition.query: the database refuses the query: relation "users"'
        in out
    )
    with psycopg.connect(pg) as conn:
        conn.execute("CREATE TABLE users (id int, email text, last_activity_at timestamptz, re_engagement_sent bool)")
    code, out, _ = said("validate", "--source", pg)
    assert (code, out.splitlines()[-1]) == (1, "1 loop, 1 fault")
    assert (
        "loops/re_engagement.yaml:17:15: steps[0].action.personalization.name: the query returns no column 'name'"
        in out
    )
    with psycopg.connect(pg) as conn:
        conn.execute("ALTER TABLE users ADD name text")
    assert said("validate", "--source", pg) == (0, "1 loop, 0 faults\n", "")


def test_source_without_a_database_asks_for_the_loops_connection(said: Said) -> None:
    for words in (["--source"], ["--source", "loops/re_engagement.yaml"], ["loops/re_engagement.yaml", "--source"]):
        code, _, err = said("validate", *words)
        assert (code, "AIRFLOW_CONN_SKENE_SOURCE" in err) == (2, True)


def test_it_starts_without_airflow(here: Path) -> None:
    for words in (["validate"], ["lint"], ["list"], ["show", "re_engagement", "--resolved"], ["schema"]):
        run = subprocess.run(
            [sys.executable, "-c", AIRFLOW_FREE, *words], cwd=here, capture_output=True, text=True, check=False
        )
        assert run.returncode == 0, run.stderr


def on_a_terminal(here: Path, env: dict[str, str]) -> str:
    """What `validate` shows to a person."""
    ours, theirs = pty.openpty()
    code = "from skene_airflow.cli import main; main(['validate'])"
    subprocess.run([sys.executable, "-c", code], cwd=here, stdout=theirs, env={**os.environ, **env}, check=True)
    os.close(theirs)
    shown = b""
    try:
        while piece := os.read(ours, 4096):
            shown += piece
    except OSError:  # the other end is closed: everything is read
        pass
    os.close(ours)
    return shown.decode()


def test_colours_are_for_terminals_only(said: Said, here: Path) -> None:
    write(here, "loops/a_broken.yaml", BROKEN)
    assert "\x1b" not in said("validate")[1]
    assert "\x1b[31munknown key\x1b[0m" in on_a_terminal(here, {"TERM": "xterm", "NO_COLOR": ""})
    assert "\x1b" not in on_a_terminal(here, {"TERM": "xterm", "NO_COLOR": "1"})
    assert "\x1b" not in on_a_terminal(here, {"TERM": "dumb", "NO_COLOR": ""})


def test_a_reader_that_has_enough_gets_no_traceback(here: Path) -> None:
    code = "from skene_airflow.cli import main; raise SystemExit(main(['schema']))"
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=here, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == 2


def test_a_terminal_without_our_characters_gets_a_question_mark(here: Path) -> None:
    write(here, "loops/a_broken.yaml", "steps: []\n")
    run = subprocess.run(
        [sys.executable, "-c", "from skene_airflow.cli import main; main(['validate'])"],
        cwd=here, capture_output=True, env={**os.environ, "PYTHONIOENCODING": "ascii"}, check=False,
    )  # fmt: skip
    assert run.stderr == b""
    assert b"`- trigger: ?`" in run.stdout
