"""Cutting a source into pieces loses nothing."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skene_airflow.message.environment import Program
from skene_airflow.message.tags import literal, split

BITS = st.sampled_from(
    [
        "a",
        " ",
        "\n",
        "<p>",
        "{",
        "}",
        "%",
        "#",
        "{{ x }}",
        "{{- x -}}",
        "{{ '}}' }}",
        "{{ {'a': x}.a }}",
        "{# c #}",
        "{#- c -#}",
        "{% if x %}b{% endif %}",
        "{%- if y -%} b {%- else -%} c {%- endif -%}",
        "{% raw %} {{ x }} {% endraw %}",
        "{%- raw -%} {% z {%- endraw -%}",
        "{% for i in [1, 2] %}{{ i }} {% endfor %}",
        '"{{ "\'" }}\'',
    ]
)
VALUES: dict[str, Any] = {"x": "X", "y": ""}


@given(st.lists(BITS, max_size=8).map("".join))
def test_the_pieces_mean_the_same(source: str) -> None:
    try:
        program = Program(source, escape=True)
    except Exception:  # noqa: BLE001  # what Jinja refuses never reaches the cutting
        return
    again = "".join(piece.source for piece in split(source))
    # Jinja drops one line break at the very end, and the end moves when a comment goes.
    assert Program(again, escape=True).run(VALUES).rstrip("\n") == program.run(VALUES).rstrip("\n")


@given(st.text(st.sampled_from("{}%# a'\"\n")))
def test_literal_text_is_printed_as_it_is(text: str) -> None:
    assert Program(literal(text) + "!", escape=False).run({}) == text + "!"


@pytest.mark.parametrize("source", ["a {{ x }} b", "{%- if x -%}\n b{% endif %}", "{{-  x  }}"])
def test_offsets_point_into_the_source(source: str) -> None:
    for piece in split(source):
        assert source[piece.offset :].startswith(piece.text)
