"""Every character of a value is found where it stands in the file."""

from __future__ import annotations

import pytest

from skene_airflow.loop.source import parse


@pytest.mark.parametrize(
    "yaml",
    [
        "a: SELECT X",
        "a:   SELECT X  # all",
        "a: {b: SELECT X}",
        "a: 'SELECT ''a'' X'",
        'a: "SELECT \\"a\\" \\t \\x41 \\u00fc X"',
        "a: SELECT\n  one,\n  X FROM b",
        "a: SELECT\n\n\n    one,\n  X",
        "a: 'SELECT ''one''\n  , X'",
        "a: >\n  SELECT one,\n  X FROM b",
        "a: >-\n  SELECT one\n\n    more\n  X\n",
        "a: |\n  SELECT one\n   X\n",
        "a: |\n\n  SELECT one\n   X\n",
        "a:\n  SELECT\n  X",
    ],
)
def test_the_marked_word_is_found(yaml: str) -> None:
    root = parse(yaml.encode(), "f").root
    assert root is not None
    node = root.get("a", "b") or root.get("a")
    assert node is not None
    text = node.text()
    assert text is not None
    row = next(number for number, line in enumerate(yaml.split("\n")) if "X" in line)
    expected = (row + 1, yaml.split("\n")[row].index("X") + 1)
    assert node.place(text.index("X")) == expected


def test_a_text_that_was_repeated_by_an_alias_is_placed_at_the_alias() -> None:
    root = parse(b"a: &x SELECT 1\nb: *x\n", "f").root
    assert root is not None
    node = root.get("b")
    assert node is not None
    assert node.place(7) == (2, 4)
