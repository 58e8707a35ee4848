from __future__ import annotations

from pathlib import Path

import pytest

from skene_airflow.loop.lint import TITLES, lint_loops, unused_templates
from skene_airflow.loop.topics import lint_topics, read_topics
from skene_airflow.nouns import Fault
from skene_airflow.stages.check import check_folder
from tests.golden_cases import cases, expected, lay_out

SHIPPED = Path(__file__).parents[3] / "loops"


def warnings(root: Path) -> list[Fault]:
    folder = check_folder(root)
    assert folder.errors == ()
    found = [*lint_loops(folder.loops), *unused_templates(folder.loops, root)]
    return [*found, *lint_topics(read_topics(root), folder.loops)]


@pytest.mark.parametrize("case", cases("lint", ".yaml"), ids=lambda case: case.stem)
def test_says_exactly_what_is_written_beside_the_case(case: Path, tmp_path: Path) -> None:
    found = warnings(lay_out(case, tmp_path / "loops"))
    said = "".join(f"{fault}\n" for fault in found)
    assert said == expected(case, said)
    assert {fault.code for fault in found} == {case.name[:5]}
    assert {fault.severity for fault in found} == {"warning"}


def test_every_code_has_a_case() -> None:
    assert {case.name[:5] for case in cases("lint", ".yaml")} == set(TITLES)


def test_the_reference_loop_earns_two_warnings_and_every_other_of_ours_none() -> None:
    assert {found.file for found in lint_loops(check_folder(SHIPPED).loops)} == {"loops/re_engagement.yaml"}
    loops = [loop for loop in check_folder(SHIPPED).loops if loop.id == "re_engagement"]
    guard, now = lint_loops(loops)
    query = (SHIPPED / "re_engagement.yaml").read_text(encoding="utf-8").splitlines()[now.line - 1]
    assert (now.code, query[now.column - 1 :][:5]) == ("SK401", "NOW()")
    assert (guard.code, guard.path) == ("SK405", "guard")


@pytest.mark.parametrize("keys", ["guard: {max: 9}", "guard: {max_share: 5%}", "mode: shadow", "class: transactional"])
def test_a_guard_is_asked_of_live_marketing_loops_alone(keys: str, tmp_path: Path) -> None:
    case = next(case for case in cases("lint", ".yaml") if case.name == "SK405_guard.yaml")
    root = lay_out(case, tmp_path / "loops")
    text = (root / "hello.yaml").read_text(encoding="utf-8").replace("guard: {}", keys)
    (root / "hello.yaml").write_text(text, encoding="utf-8")
    assert warnings(root) == []


def test_a_block_scalar_keeps_the_place(tmp_path: Path) -> None:
    text = (
        "type: retention\nopinion: x\nsteps:\n  - trigger: {type: manual}\n    condition: |\n"
        "      SELECT * FROM users -- now()\n      WHERE 'now()' <> name AND at < now()\n"
        "    action: {type: email, template: hello}\nguard: {max: 9}\n"
    )
    root = lay_out(Path(__file__).with_name("whole.yaml"), tmp_path / "loops")
    (root / "hello.yaml").write_text(text, encoding="utf-8")
    (found,) = warnings(root)
    assert (found.line, found.column) == (7, 38)


def test_words_like_now_inside_text_and_as_of_are_no_warning(tmp_path: Path) -> None:
    root = lay_out(Path(__file__).with_name("whole.yaml"), tmp_path / "loops")
    query = "SELECT id, email, 'now()' AS now FROM users WHERE at < :as_of"
    text = f'type: x\nopinion: x\nsteps:\n  - trigger: {{type: manual}}\n    condition: "{query}"\n'
    text += "    action: {type: email, template: hello}\nguard: {max: 9}\n"
    (root / "hello.yaml").write_text(text, encoding="utf-8")
    assert warnings(root) == []


def test_hidden_files_and_text_parts_of_used_templates_are_not_unused(tmp_path: Path) -> None:
    case = next(case for case in cases("lint", ".yaml") if case.name == "SK403_unused")
    root = lay_out(case, tmp_path / "loops")
    for name in ("hello.txt", ".hallo.html.swp", "_draft.html", "notes.doc"):
        (root / "templates" / name).write_text("x", encoding="utf-8")
    assert [fault.file for fault in warnings(root)] == ["loops/templates/hallo.html"]
