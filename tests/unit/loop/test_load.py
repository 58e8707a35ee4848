"""Files and folders: a good loop, or every fault with its place; one broken file hides no other."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from skene_airflow.errors import LoopError
from skene_airflow.loop.load import load_folder, load_loop, loop_files
from skene_airflow.loop.schema import Loop

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.unit.loop.conftest import LoopRoom

    Changed = Callable[[str, str], str]


def test_the_error_of_the_contract_is_word_for_word(room: LoopRoom, changed: Changed) -> None:
    error = room.bad(changed("provider: resend", "provder: resend"), "x.yaml")
    assert str(error) == "loops/x.yaml:14:7: steps[0].action.provder: unknown key; did you mean 'provider'? [SK012]"
    assert error.file == "loops/x.yaml"


def test_all_faults_of_a_file_come_at_once_and_in_order(room: LoopRoom, reference: str) -> None:
    text = reference.replace("0 9 * * *", "61 9 * * *").replace("10m", "10").replace("type: email", "type: mail")
    error = room.bad(text.replace("SELECT *", "SELECT :x") + "mood: good\n")
    places = [(fault.line, fault.code) for fault in error.faults]
    assert places == [(7, "SK105"), (10, "SK208"), (11, "SK101"), (13, "SK015"), (22, "SK012")]


def test_positions_of_values_and_of_what_is_not_written(room: LoopRoom, reference: str) -> None:
    loop = room.good(reference)
    assert loop.position("steps[0].action.template") == (15, 17)
    assert loop.position("steps[0].action.personalization.lastActivity") == (18, 23)
    assert loop.position("steps[0].action.from") == (13, 7)
    assert loop.position("guard.max") == (2, 1)
    fault = loop.fault("steps[0].action.template", "SK302", "no such file", "write it")
    assert str(fault).startswith("loops/re_engagement.yaml:15:17: steps[0].action.template: no such file; write it")


def test_a_fault_inside_a_block_of_sql_points_into_it(room: LoopRoom, changed: Changed) -> None:
    start = (
        "query: SELECT * FROM users WHERE last_activity_at < NOW() - INTERVAL '7 days' AND re_engagement_sent = false"
    )
    error = room.bad(changed(start, "query: |\n        SELECT 'é',\n\n          :nope"))
    assert [(fault.line, fault.column, fault.code) for fault in error.faults] == [(13, 11, "SK208")]


def test_an_action_of_the_loop_reaches_every_step(room: LoopRoom, changed: Changed) -> None:
    text = changed("steps:\n", "action: {reply_to: hi@acme.example, personalization: {shop: Acme}}\nsteps:\n")
    action = room.good(text).steps[0].action
    assert action.type == "email"
    assert action.reply_to == "hi@acme.example"
    assert action.personalization["shop"] == "Acme"
    assert action.personalization["name"] == "{{user.name}}"


def test_the_provider_names_the_connection_unless_the_loop_does(room: LoopRoom, changed: Changed) -> None:
    smtp = room.good(changed("provider: resend", "provider: smtp"), "a.yaml")
    named = room.good(changed("steps:\n", "connections: {email: crm_mail}\nsteps:\n"), "b.yaml")
    assert smtp.email_connection(smtp.steps[0]) == "smtp_default"
    assert named.email_connection(named.steps[0]) == "crm_mail"


def test_the_version_follows_the_text(room: LoopRoom, reference: str) -> None:
    first, again = room.good(reference), room.good(reference)
    assert first.version == again.version
    assert len(first.version) == 12
    assert room.good(reference + "# changed\n").version != first.version


@pytest.mark.parametrize(
    "name", ["Loop.yaml", "a__b.yaml", "1st.yaml", "skene_upkeep.yaml", "a-b.yaml", f"{'a' * 101}.yml"]
)
def test_names_that_cannot_be_ids(room: LoopRoom, reference: str, name: str) -> None:
    assert [fault.code for fault in room.bad(reference, name).faults] == ["SK020"]


def test_a_secret_is_never_repeated(room: LoopRoom, changed: Changed) -> None:
    key = "re_AbCd1234_AbCdEfGhIjKlMnOpQrStUvWx"
    error = room.bad(changed("template: re_engagement", f"template: {key}x."))
    assert [fault.code for fault in error.faults] == ["SK019"]
    assert key not in str(error)
    assert "AbCd" not in str(error)


@pytest.mark.parametrize(
    "secret",
    ["re_123456789", "whsec_MfKQ9r8GKYqrTwjU", "SG.aaaaaaaaaaaa.bbbbbbbbbbbb", "AKIAIOSFODNN7EXAMPLE",
     "postgresql://me:hunter2@db.acme.example/app", "sk_live_abcdefghij12345", "-----BEGIN RSA PRIVATE KEY-----"],
)  # fmt: skip
def test_secrets_are_refused_in_comments_too(room: LoopRoom, reference: str, secret: str) -> None:
    (fault,) = room.bad(f"{reference}# {secret}\n").faults
    assert (fault.code, fault.line) == ("SK019", 22)


def test_names_that_look_a_little_like_secrets_are_fine(room: LoopRoom, changed: Changed) -> None:
    text = changed("template: re_engagement", "template: re_engagement_of_people_2026_v2")
    assert isinstance(room.load(f"{text}# https://acme.example:8080/x and re_engagement_sent\n"), Loop)


def test_a_folder_gives_good_loops_and_one_error_for_each_broken_file(room: LoopRoom, reference: str) -> None:
    for name in ("b.yaml", "a.yml", "sub/c.yaml"):
        room.write(name, reference)
    for name in ("_draft.yaml", "templates/t.yaml", "segments/s.yaml", ".hidden.yaml", "_old/d.yaml", "note.txt"):
        room.write(name, "not: a loop\n")
    room.write("broken.yaml", "a: [")
    room.write("worse.yaml", b"\xff")
    folder = load_folder(room.root)
    assert [loop.id for loop in folder.loops] == ["a", "b", "c"]
    assert folder.loops[2].file == "loops/sub/c.yaml"
    assert [error.file for error in folder.errors] == ["loops/broken.yaml", "loops/worse.yaml"]


def test_two_files_with_one_id_are_both_refused(room: LoopRoom, reference: str) -> None:
    for name in ("a.yaml", "sub/a.yml", "b.yaml"):
        room.write(name, reference)
    folder = load_folder(room.root)
    assert [loop.id for loop in folder.loops] == ["b"]
    assert [(error.file, [fault.code for fault in error.faults]) for error in folder.errors] == [
        ("loops/a.yaml", ["SK021"]),
        ("loops/sub/a.yml", ["SK021"]),
    ]


def test_two_hundred_files_with_one_broken(room: LoopRoom, reference: str) -> None:
    for number in range(200):
        room.write(f"loop_{number:03}.yaml", reference if number != 77 else reference.replace("cron", "corn"))
    folder = load_folder(room.root)
    assert (len(folder.loops), len(folder.errors)) == (199, 1)


def test_a_folder_that_is_not_there_holds_nothing(tmp_path: Path) -> None:
    assert load_folder(tmp_path / "nowhere") == load_folder(tmp_path / "nowhere")
    assert loop_files(tmp_path / "nowhere") == []


def test_a_file_that_is_gone_or_a_folder_is_an_error(room: LoopRoom) -> None:
    (room.root / "dir.yaml").mkdir()
    for path in (room.root / "gone.yaml", room.root / "dir.yaml"):
        error = load_loop(path, root=room.root)
        assert isinstance(error, LoopError)
        assert [fault.code for fault in error.faults] == ["SK001"]


def test_the_room_is_light() -> None:
    heavy = {"airflow", "sqlalchemy", "httpx", "psycopg"}
    code = f"import sys, skene_airflow.loop.load; print(sorted({heavy} & set(sys.modules)))"
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=env)
    assert done.stdout.strip() == "[]"


def test_a_small_loop_is_read_in_two_milliseconds(room: LoopRoom, reference: str) -> None:
    paths = [room.write(f"a{n}.yaml", reference.replace("7 days", f"{n} days")) for n in range(1, 61)]

    def seconds(some: list[Path]) -> float:
        begin = time.process_time()
        for path in some:
            load_loop(path)
        return (time.process_time() - begin) / len(some)

    assert (
        min(seconds(paths[start : start + 20]) for start in (0, 20, 40)) < 0.004
    )  # 2 ms, and as much for busy machines


TOKENS = [
    "type", "opinion", "steps", "trigger", "condition", "action", "email", "schedule", ":", ": ", "\n", "\n  ",
    "\n    - ",
    "- ", "[", "]", "{", "}", ",", "'", '"', "|", ">", "#", " #", "&a", "*a", "!!str", "?", "\t", "---", "null", "10m",
    "-1", "1e999", "é", "SELECT 1", ":as_of", "{{", "5%", "2/7d", "~", "<<", "entry", "each_run", "guard",
    "was", "variants",
]  # fmt: skip


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from(TOKENS), max_size=30), st.integers(0, 20))
def test_a_mangled_file_ends_in_a_loop_or_in_faults(
    room: LoopRoom, reference: str, tokens: list[str], line: int
) -> None:
    lines = reference.splitlines(keepends=True)
    lines[line] = lines[line].rstrip("\n") + "".join(tokens) + "\n"
    result = room.load("".join(lines))
    if isinstance(result, LoopError):
        assert result.faults
        assert all(fault.line >= 1 and fault.column >= 1 and fault.code in str(result) for fault in result.faults)


junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text("ab: 1'\"{}%", max_size=6),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text("abc", max_size=3), inner, max_size=2),
    max_leaves=4,
)
KEYS = [
    "type", "opinion", "owner", "tags", "topic", "class", "mode", "user", "connections", "action", "steps", "entry",
    "exit",
    "consent", "sample", "holdout", "frequency_cap", "quiet_hours", "expires_after", "guard", "goal", "backfill",
    "recovery", "alerts", "airflow", "was",
]  # fmt: skip
STEP_KEYS = ["id", "trigger", "ready", "condition", "segments", "action", "on_sent", "was"]


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.dictionaries(st.sampled_from(KEYS), junk, max_size=5),
    st.dictionaries(st.sampled_from(STEP_KEYS), junk, max_size=4),
)
def test_any_value_under_any_key_is_answered(room: LoopRoom, loop: dict[str, object], step: dict[str, object]) -> None:
    import yaml

    result = room.load(yaml.safe_dump({"steps": [step], **loop}))
    assert isinstance(result, LoopError)
    assert all("Error" not in fault.message for fault in result.faults)
