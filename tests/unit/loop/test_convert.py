"""Config files as data: what converts, what is refused, and that nothing is ever run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skene_airflow.errors import LoopError
from skene_airflow.loop import codes
from skene_airflow.loop.convert import convert
from skene_airflow.loop.convert.fault_codes import TITLES
from skene_airflow.loop.load import load_loop
from skene_airflow.loop.schema import Loop
from skene_airflow.loop.source import invisible, parse
from tests.golden_cases import GOLDEN, expected

ROOT = Path(__file__).parents[3]
FILES = sorted(path for path in (GOLDEN / "convert").iterdir() if path.suffix in (".ts", ".js", ".json"))
GOOD = [path for path in FILES if not path.name.startswith("SK")]
BAD = [path for path in FILES if path.name.startswith("SK")]


def name_of(path: Path) -> str:
    return path.name


@pytest.mark.parametrize("file", GOOD, ids=name_of)
def test_converts_to_exactly_what_is_written_beside_the_file(file: Path) -> None:
    converted = convert(file.read_text(encoding="utf-8"), file.name)
    assert converted.yaml == expected(file, converted.yaml, ".yaml")
    assert converted.faults == ()


@pytest.mark.parametrize("file", BAD, ids=name_of)
def test_refuses_with_exactly_what_is_written_beside_the_file(file: Path) -> None:
    with pytest.raises(LoopError) as refused:
        convert(file.read_text(encoding="utf-8"), file.name)
    said = f"{refused.value}\n"
    assert said == expected(file, said)
    assert f"[{file.name[:5]}]" in said


def test_every_code_has_a_file() -> None:
    assert {path.name[:5] for path in BAD} == {*TITLES, codes.REFUSED_SHAPE}


def test_the_reference_loop_loads_equal_to_the_one_that_ships(tmp_path: Path) -> None:
    text = convert((GOLDEN / "convert" / "reference.ts").read_text(encoding="utf-8"), "skene.config.ts").yaml
    (tmp_path / "re_engagement.yaml").write_text(text, encoding="utf-8")
    mine, shipped = load_loop(tmp_path / "re_engagement.yaml"), load_loop(ROOT / "loops" / "re_engagement.yaml")
    assert isinstance(mine, Loop)
    assert isinstance(shipped, Loop)
    own = {"file", "text", "root", "version"}
    assert mine.model_dump(exclude=own) == shipped.model_dump(exclude=own)
    assert "# Daily at 9 AM" in text
    assert "# Brings dormant users back" in text


WRAPPED = [
    "export default {}",
    "export default defineLoop({})",
    "export default skene.defineLoop(({} as const))",
    "export = {};",
    "module.exports = defineLoop({});",
    "exports.default = {}",
    "const x = {}; export default x;",
    "export const x: Loop = defineLoop({}); export default x satisfies Loop",
    "export default <Loop>{};",
    "{}",
    "  // JSON with a comment\n{}\n",
]


@pytest.mark.parametrize("spelling", WRAPPED)
def test_every_spelling_of_an_export_is_understood(spelling: str) -> None:
    text = spelling.replace("{}", "{ type: 'x' }") if spelling.strip() != "{}" else '{"type": "x"}'
    assert parse(convert(text, "f.ts").yaml.encode(), "f").root.plain() == {"type": "x"}  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "export {};",
        "import x from 'y'",
        "export default load('./x')",
        "export default elsewhere",
        "let x = {}; export default x",
        "export default {}; module.exports = {};",
        "export default function () { return {} }",
        "export default class {}",
        "export default () => ({})",
        "export default defineLoop({}, {})",
        "export default defineLoop(...[{}])",
    ],
)
def test_what_exports_no_object_is_a_fault_with_a_place(text: str) -> None:
    with pytest.raises(LoopError) as refused:
        convert(text, "f.ts")
    assert {fault.code for fault in refused.value.faults} <= {"SK601", "SK602", "SK603"}
    assert all(fault.line >= 1 and fault.column >= 1 for fault in refused.value.faults)


def test_nothing_is_run(tmp_path: Path) -> None:
    witness = tmp_path / "witness"
    text = f"require('fs').writeFileSync('{witness}', 'x');\nexport default {{ type: (() => 'x')() }}"
    with pytest.raises(LoopError):
        convert(text, "f.ts")
    assert not witness.exists()


def test_places_count_characters_not_bytes_and_json_lines_are_the_files() -> None:
    with pytest.raises(LoopError) as refused:
        convert("export default { type: 'üé😀', opinion: x }", "f.ts")
    assert (refused.value.faults[0].line, refused.value.faults[0].column) == (1, 40)
    with pytest.raises(LoopError) as refused:
        convert('{"type": "x",\n "opinion": x}', "f.json")
    assert (refused.value.faults[0].line, refused.value.faults[0].column) == (2, 13)


def test_windows_line_ends_and_a_byte_order_mark_change_nothing() -> None:
    text = (GOLDEN / "convert" / "unusual.ts").read_text(encoding="utf-8")
    windows = "\ufeff" + text.replace("\n", "\r\n")
    assert convert(windows, "f.ts").yaml == convert(text, "f.ts").yaml


def test_faults_of_the_language_stand_at_the_places_of_the_config() -> None:
    text = "export default {\n  type: 'x', opinion: 'x',\n  descripton: 'y',\n  steps: [],\n}"
    found = convert(text, "f.ts").faults
    assert [(fault.line, fault.column, fault.path) for fault in found] == [(3, 3, "descripton"), (4, 10, "steps")]


def test_indented_sql_loses_its_indentation_only_if_its_tokens_stay() -> None:
    def query(text: str) -> object:
        yaml = convert(f"export default {{ steps: [{{ condition: `{text}` }}] }}", "f.ts").yaml
        root = parse(yaml.encode(), "f").root
        assert root is not None
        node = root.get("steps", 0, "condition")
        assert node is not None
        return node.value

    assert query("\n    SELECT 1\n      FROM x\n  ") == "SELECT 1\n  FROM x\n"
    assert query("SELECT 1\n      FROM x") == "SELECT 1\nFROM x\n"
    inside = "\n    SELECT 'a\n    b'\n"
    assert query(inside) == inside


def test_deep_and_large_files_end_quickly() -> None:
    deep = "export default " + "{a:" * 5_000 + "1" + "}" * 5_000
    with pytest.raises(LoopError, match="levels deep"):
        convert(deep, "f.ts")


plain_json = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


def as_lists(value: object) -> object:
    if isinstance(value, list | tuple):
        return [as_lists(item) for item in value]
    return {key: as_lists(item) for key, item in value.items()} if isinstance(value, dict) else value


def names(value: object) -> list[str]:
    if isinstance(value, dict):
        return [*value, *(name for item in value.values() for name in names(item))]
    return [name for item in value for name in names(item)] if isinstance(value, list) else []


def test_a_property_with_an_invisible_character_is_told_at_its_place() -> None:
    with pytest.raises(LoopError) as refused:
        convert('{\n  "type": "x",\n  "own\u200ber": "growth"\n}', "f.json")
    (fault,) = refused.value.faults
    assert (fault.line, fault.column, fault.code) == (3, 3, "SK605")


@given(st.dictionaries(st.text(max_size=8), plain_json, max_size=4))
def test_any_json_is_the_same_value_in_yaml_or_a_fault(value: dict[str, object]) -> None:
    try:
        yaml = convert(json.dumps(value), "f.json").yaml
    except LoopError:
        # No YAML loop holds NUL, or a key with a character that nobody sees.
        assert "\\u0000" in json.dumps(value) or any(map(invisible, names(value)))
        return
    root = parse(yaml.encode(), "f").root
    assert root is not None
    assert as_lists(root.plain()) == value
