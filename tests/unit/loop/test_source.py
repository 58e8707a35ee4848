"""Odd files: an error with its place or a correct parse, never a traceback, never a hang."""

from __future__ import annotations

import json
import math
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skene_airflow.loop.nodes import Scalar
from skene_airflow.loop.source import MAX_BYTES, parse

# Each anchor repeats the one before it ten times: 10 ** 25 values, if somebody wrote them out.
BOMB = b"a: &a [x,x,x,x,x,x,x,x,x,x]\n" + b"".join(
    b"%c: &%c [%s]\n" % (letter, letter, b",".join([b"*%c" % (letter - 1)] * 10)) for letter in range(98, 123)
)


def value(text: str) -> object:
    parsed = parse(text.encode(), "x.yaml")
    assert parsed.root is not None, parsed.faults
    assert parsed.faults == []
    return parsed.root.plain()


def fault(raw: bytes | str) -> tuple[str, int, int]:
    parsed = parse(raw.encode() if isinstance(raw, str) else raw, "x.yaml")
    (found,) = parsed.faults
    return found.code, found.line, found.column


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("no", "no"), ("yes", "yes"), ("on", "on"), ("off", "off"), ("y", "y"),
        ("010", 10), ("0o10", 8), ("0x1f", 31), ("+3", 3), ("-3", -3), ("1_000", "1_000"), ("0b11", "0b11"),
        ("21:00", "21:00"), ("1e3", 1000.0), ("1.", 1.0), (".5", 0.5), ("1.5e-3", 0.0015), ("e3", "e3"), (".", "."),
        ("~", None), ("null", None), ("Null", None), ("nULL", "nULL"), ("true", True), ("TRUE", True), ("tRue", "tRue"),
        (".inf", math.inf), ("-.INF", -math.inf), ("2026-11-14", "2026-11-14"), ("=", "="), ("1 2", "1 2"),
        ("'1'", "1"), ('"true"', "true"), ("''", ""), ("5%", "5%"), ("-", None),
    ],
)  # fmt: skip
def test_scalars_mean_what_yaml_1_2_says(text: str, expected: Scalar) -> None:
    if text == "-":
        assert value("a:\n- ") == {"a": (None,)}
    else:
        assert value(f"a: {text}\n") == {"a": expected}


def test_not_a_number_is_not_text() -> None:
    found = value("a: .nan")
    assert isinstance(found, dict)
    assert math.isnan(found["a"])


def test_keys_are_text_as_written() -> None:
    assert value("no: 1\n010: 2\n~: 3\n1.50: 4\n") == {"no": 1, "010": 2, "~": 3, "1.50": 4}


def test_every_value_and_key_knows_its_place() -> None:
    parsed = parse(b"a:\n  - b: [1, 'x']\n    c: |\n      one\n      two\n", "x.yaml")
    root = parsed.root
    assert root is not None
    places = {loc: root.get(*loc) for loc in [("a",), ("a", 0), ("a", 0, "b"), ("a", 0, "b", 1), ("a", 0, "c")]}
    assert [(node.line, node.column) for node in places.values() if node] == [(2, 3), (2, 5), (2, 8), (2, 12), (3, 8)]
    key = root.key("a", 0, "c")
    assert key is not None
    assert (key.line, key.column) == (3, 5)
    text = places["a", 0, "c"]
    assert text is not None
    assert text.place(len("one\ntw")) == (5, 9)


def test_byte_order_mark_and_crlf() -> None:
    parsed = parse(b"\xef\xbb\xbfa: 1\r\nb: |\r\n  x\r\n  y\r\n", "x.yaml")
    assert parsed.root is not None
    assert parsed.root.plain() == {"a": 1, "b": "x\ny\n"}
    key = parsed.root.key("b")
    assert key is not None
    assert (key.line, key.column) == (2, 1)


def test_an_alias_repeats_its_value_at_its_own_place() -> None:
    parsed = parse(b"a: &x {k: [1, 2]}\nb: *x\n", "x.yaml")
    assert parsed.root is not None
    assert parsed.root.plain() == {"a": {"k": (1, 2)}, "b": {"k": (1, 2)}}
    again = parsed.root.get("b")
    assert again is not None
    assert (again.line, again.column) == (2, 4)


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"", ("SK006", 1, 1)),
        (b"# only a comment\n", ("SK006", 1, 1)),
        (b"\xff\xfea\x00", ("SK002", 1, 1)),
        ("a: ü\nb: ".encode() + b"\xe9", ("SK002", 2, 4)),
        (b"a: 1\nb: \x07", ("SK003", 2, 4)),
        ("a: x\u2028y", ("SK003", 1, 5)),
        ('a: "x\\0y"', ("SK003", 1, 4)),
        (b"a: [1\n", ("SK004", 1, 4)),
        (b"a: 'x\n", ("SK004", 1, 4)),
        (b"a: b: c\n", ("SK004", 1, 5)),
        (b"a: @x\n", ("SK004", 1, 4)),
        (b"a: *b\n", ("SK004", 1, 4)),
        (b"a:\n\t- b\n", ("SK005", 2, 1)),
        (b"a: " + b"[" * 900, ("SK008", 1, 35)),
        (b"a: " + b"{a: " * 50_000, ("SK008", 1, 128)),
        (b"- " * 100_000, ("SK008", 1, 65)),
        (b"a: 1\n---\nb: 2\n", ("SK009", 2, 1)),
        (b"a: 1\nb: 2\na: 3\n", ("SK010", 3, 1)),
        (b"a: !!python/object:os.system x\n", ("SK011", 1, 4)),
        (b"a: &a\n  b: *a\n", ("SK011", 2, 6)),
        (b"? [a]\n: b\n", ("SK011", 1, 3)),
        (b"a: {{ user.name }}\n", ("SK011", 1, 4)),
        (b"a: " + b"9" * 5000, ("SK110", 1, 4)),
        (b"#" * (MAX_BYTES + 1), ("SK007", 1, 1)),
        (b"query: SELECT 1 # all\n  FROM users\n", ("SK018", 1, 17)),
    ],
)
def test_what_cannot_be_read_says_where(raw: bytes | str, expected: tuple[str, int, int]) -> None:
    assert fault(raw) == expected


def test_brackets_upon_brackets_are_refused_whoever_notices_first() -> None:
    # libyaml looks a thousand characters ahead, and newer ones stop at a depth of their own.
    code, line, _ = fault(b"a: " + b"[" * 100_000)
    assert (code, line) == ("SK008", 1)


@pytest.mark.parametrize(
    "raw",
    [
        b"a: [" + b"1," * 120_000,
        b"".join(b"k%d: 1\n" % number for number in range(20_000)),
        BOMB,
        b"a: " + b"[" * 250_000,
        b"a: '" + b"\n" * 250_000,
        b"#\n" * 120_000,
        b"a: \"" + b"\\x41" * 60_000 + b'"',
        b"\xef\xbb\xbf" * 80_000,
        b"re_" * 80_000,
        b"a: " + b"x " * 120_000,
    ],
    ids=range(10),
)  # fmt: skip
@pytest.mark.timeout(20)  # milliseconds, when nothing else runs
def test_no_file_takes_long_or_much(raw: bytes) -> None:
    tracemalloc.start()
    parse(raw, "x.yaml")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 64 * 2**20


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_end_in_a_tree_or_a_fault(raw: bytes) -> None:
    parsed = parse(raw, "x.yaml")
    assert parsed.root is not None or parsed.faults


printable = st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Zl", "Zp", "Cn"])
plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**9), 10**9) | st.text(printable, max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("abcdef", min_size=1), inner, max_size=4),
    max_leaves=20,
)


@settings(max_examples=150, deadline=None)
@given(plain)
def test_json_is_yaml(data: object) -> None:
    parsed = parse(json.dumps({"k": data}, ensure_ascii=False, indent=1).encode(), "x.yaml")
    if not parsed.faults:
        assert parsed.root is not None
        assert as_lists(parsed.root.plain()) == {"k": data}
    else:  # a byte order mark within a text
        assert {found.code for found in parsed.faults} <= {"SK003"}


def as_lists(data: object) -> object:
    if isinstance(data, dict):
        return {key: as_lists(inner) for key, inner in data.items()}
    return [as_lists(inner) for inner in data] if isinstance(data, tuple) else data
