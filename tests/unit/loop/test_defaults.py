"""Defaults of a folder: deep-merged, the loop wins, and faults point at the file that holds them."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from skene_airflow.loop.load import load_folder

if TYPE_CHECKING:
    from tests.unit.loop.conftest import LoopRoom


def test_the_loop_wins_and_a_deeper_folder(room: LoopRoom, reference: str) -> None:
    room.write(
        "_defaults.yaml", "owner: growth\nuser: {table: people, key: uid}\nrecovery: {retries: 9, retry_delay: 5s}\n"
    )
    room.write("eu/_defaults.yaml", "user: {table: eu_people}\naction: {reply_to: eu@acme.example}\n")
    loop = room.good(reference, "eu/a.yaml")
    assert loop.owner == "growth"
    assert (loop.user.table, loop.user.key, loop.user.email) == ("eu_people", "uid", "email")
    assert (loop.recovery.retries, loop.recovery.retry_delay) == (3, timedelta(seconds=5))
    assert loop.steps[0].action.type == "email"
    assert loop.steps[0].action.reply_to == "eu@acme.example"
    assert loop.origin(("user", "table")) == ("loops/eu/_defaults.yaml", 1, 15)
    assert loop.origin(("user", "key")) == ("loops/_defaults.yaml", 2, 28)
    assert loop.origin(("recovery", "retries")) == ("loops/eu/a.yaml", 20, 12)
    assert loop.origin(("mode",)) is None


def test_a_change_of_defaults_is_a_new_version(room: LoopRoom, reference: str) -> None:
    before = room.good(reference).version
    room.write("_defaults.yaml", "owner: growth\n")
    assert room.good(reference).version != before


def test_a_fault_in_the_defaults_is_shown_at_its_place_for_the_loop(room: LoopRoom, reference: str) -> None:
    room.write("_defaults.yaml", "owner: growth\nrecovery: {retrys: 3}\n")
    error = room.bad(reference, "a.yaml")
    assert error.file == "loops/a.yaml"
    assert [str(fault) for fault in error.faults] == [
        "loops/_defaults.yaml:2:12: recovery.retrys: unknown key; did you mean 'retries'? [SK012]"
    ]


def test_broken_defaults_stop_their_folder_only(room: LoopRoom, reference: str) -> None:
    room.write("eu/_defaults.yaml", "owner: [\n")
    room.write("eu/a.yaml", reference)
    room.write("b.yaml", reference)
    folder = load_folder(room.root)
    assert [loop.id for loop in folder.loops] == ["b"]
    assert [error.file for error in folder.errors] == ["loops/eu/a.yaml"]


def test_empty_defaults_are_a_fault_not_silence(room: LoopRoom, reference: str) -> None:
    room.write("_defaults.yaml", "# later\n")
    assert [fault.code for fault in room.bad(reference).faults] == ["SK006"]
