from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from skene_airflow.loop.load import load_loop
from skene_airflow.loop.schema import Loop

Said = Callable[..., tuple[int, str, str]]


def test_it_prints_the_file(said: Said, here: Path) -> None:
    code, out, _ = said("show", "re_engagement")
    assert code == 0
    assert out.endswith((here / "loops" / "re_engagement.yaml").read_text(encoding="utf-8"))


def test_resolved_names_the_origin_of_every_value(said: Said, here: Path) -> None:
    (here / "loops" / "_defaults.yaml").write_text("owner: growth\nrecovery: {retries: 9, retry_delay: 1m}\n", "utf-8")
    code, out, _ = said("show", "re_engagement", "--resolved")
    assert code == 0
    assert "owner: growth  # loops/_defaults.yaml:1\n" in out
    assert "  retries: 3  # loops/re_engagement.yaml:20\n" in out
    assert "  retry_delay: 1m  # loops/_defaults.yaml:2\n" in out
    assert "  max_retry_delay: 10m  # default\n" in out
    values = [line for line in out.splitlines() if line[-1] != ":" and not line.startswith("#")]
    assert all("  # " in line for line in values)


def test_what_is_shown_resolved_is_the_same_loop(said: Said, here: Path) -> None:
    (here / "loops" / "_defaults.yaml").write_text("owner: growth\nexpires_after: 6h\n", encoding="utf-8")
    shown = said("show", "re_engagement", "--resolved")[1]
    (here / "again").mkdir()
    (here / "again" / "re_engagement.yaml").write_text(shown, encoding="utf-8")
    first, second = (load_loop(here / room / "re_engagement.yaml") for room in ("loops", "again"))
    assert isinstance(first, Loop)
    assert isinstance(second, Loop), str(second)
    told = {"file", "text", "root", "version", "connections"}
    assert first.model_dump(exclude=told) == second.model_dump(exclude=told)
    assert first.email_connection(first.steps[0]) == second.email_connection(second.steps[0])


def test_json_has_every_value_with_its_place(said: Said) -> None:
    answer = json.loads(said("show", "re_engagement", "--format", "json")[1])
    values = {value["path"]: value for value in answer["values"]}
    assert answer["loop_id"] == "re_engagement"
    cron = values["steps[0].trigger.cron"]
    assert (cron["value"], cron["file"], cron["line"], cron["column"]) == (
        "0 9 * * *",
        "loops/re_engagement.yaml",
        7,
        13,
    )
    assert values["expires_after"] == {"path": "expires_after", "value": "24h", "file": None}


def test_a_broken_loop_is_1_and_an_unknown_one_2(said: Said, here: Path) -> None:
    (here / "loops" / "broken.yaml").write_text("a: [\n", encoding="utf-8")
    code, out, err = said("show", "broken")
    assert (code, out) == (1, "")
    assert err.startswith("loops/broken.yaml:1:4: ")
    code, _, err = said("show", "nobody")
    assert code == 2
    assert "broken, re_engagement" in err
