"""A query is one harmless SELECT, and parameters go in at the scanner's token only."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pglast import ast, parser

from skene_airflow.loop.sql import bind, check_select, parameters, uses_now

LITERAL = "'2026-11-24 09:00:00+00'::timestamptz"


def codes(text: str) -> list[str]:
    return [fault.code for fault in check_select(text)]


@pytest.mark.parametrize(
    "text",
    [
        "SELECT 1",
        "select 1;",
        "SELECT 1; -- done",
        "-- first\nSELECT 1 /* and last */",
        "WITH a AS (SELECT 1) SELECT * FROM a",
        "(SELECT 1) UNION ALL (SELECT 2) ORDER BY 1",
        "TABLE users",
        "VALUES (1)",
        "SELECT 'insert into x', $$ delete from y $$, $q$ :nope {ds} $q$",
        "SELECT ':nope', \":nope\", E'\\':nope'",
        "SELECT a[1:2], a[:n], a[m:n], a[f(x):n], ARRAY[:as_of]",
        "SELECT '{{1,2},{3,4}}'::int[], '{{a}}'::text[]",
        "SELECT x::date, :as_of::date, 5 % 2, a ->> 'b', a ? 'b', a @> '{}'",
        'SELECT * FROM users WHERE "deleteD" AND update_at < now() -- DELETE',
        "SELECT * FROM orders o WHERE o.for IS NULL",
        "SELECT 'é😀' AS \"naïve\", :as_of",
    ],
)
def test_honest_queries_pass(text: str) -> None:
    assert check_select(text) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # The ways out that were measured to work against BEGIN READ ONLY, and their relatives.
        ("SET TRANSACTION READ WRITE; DELETE FROM users", "SK203"),
        ("COMMIT; DELETE FROM users", "SK203"),
        ("SELECT 1; DELETE FROM users", "SK203"),
        ("SELECT 1;; ", "SK203"),
        ("SELECT 1; -- x\n DROP TABLE users", "SK203"),
        ("; SELECT 1", "SK203"),
        ("SET statement_timeout = 0", "SK204"),
        ("COMMIT", "SK204"),
        ("SELECT 1) TO PROGRAM 'id' --", "SK201"),
        ("SELECT 1) q; DELETE FROM users; SELECT 1 FROM (SELECT 1", "SK201"),
        ("SELECT 1)) q --", "SK201"),
        ("SELECT 1 /*", "SK201"),
        ("SELECT 1 -- \n)", "SK201"),
        ("SELECT 'x", "SK201"),
        ("SELECT $a$ x $b$", "SK201"),
        ("SELECT \\! id", "SK201"),
        ("COPY users TO PROGRAM 'id'", "SK204"),
        ("COPY (SELECT 1) TO '/tmp/x'", "SK204"),
        ("DO $$ BEGIN DELETE FROM users; END $$", "SK204"),
        ("CALL p()", "SK204"),
        ("EXPLAIN ANALYZE DELETE FROM users", "SK204"),
        ("CREATE TABLE x AS SELECT 1", "SK204"),
        ("PREPARE p AS SELECT 1", "SK204"),
        ("EXECUTE p", "SK204"),
        ("DECLARE c CURSOR FOR SELECT 1", "SK204"),
        ("NOTIFY x", "SK204"),
        ("TRUNCATE users", "SK204"),
        ("INSERT INTO a SELECT 1", "SK205"),
        ("UPDATE users SET a = 1", "SK205"),
        ("DELETE FROM users RETURNING *", "SK205"),
        ("MERGE INTO a USING b ON true WHEN MATCHED THEN DELETE", "SK205"),
        ("WITH gone AS (DELETE FROM users RETURNING *) SELECT * FROM gone", "SK205"),
        ("SELECT * FROM (WITH x AS (UPDATE a SET b = 1 RETURNING 1) SELECT 1) q", "SK205"),
        ("SELECT 1 FOR UPDATE", "SK206"),
        ("SELECT * FROM (SELECT * FROM users FOR NO KEY UPDATE) q", "SK206"),
        ("SELECT 1 WHERE EXISTS (SELECT 1 FROM users FOR SHARE SKIP LOCKED)", "SK206"),
        ("SELECT * INTO copied FROM users", "SK207"),
        ("SELECT * INTO TEMP copied FROM users", "SK207"),
        ("SELECT :since", "SK208"),
        ("SELECT $1", "SK208"),
        ("SELECT :1", "SK208"),
        ("SELECT x:asof FROM t", "SK208"),
        ("SELECT {{ ds }}", "SK209"),
        ("SELECT '{{ ds }}'", "SK209"),
        ("SELECT '{{ds}}'", "SK209"),
        ("SELECT '{{ data_interval_start }}'::date", "SK209"),
        ("SELECT $$ {{ params.x }} $$", "SK209"),
        ("SELECT 1 {% if x %}", "SK209"),
        ("", "SK202"),
        (" ; ", "SK202"),
        ("-- nothing", "SK202"),
        ("SELECT 1 \x00; DELETE FROM users", "SK201"),
        ("SELECT '\ud800'", "SK201"),
        ("SELECT 1" + "+1" * 50_000, "SK210"),
        ("SELECT 1" + " UNION SELECT 1" * 20_000, "SK210"),
        ("SELECT " + "(" * 20_000, "SK210"),
        ("SELECT " + "(" * 1_900 + "1" + ")" * 1_900, "SK210"),
    ],
)
def test_ways_out_are_refused(text: str, expected: str) -> None:
    found = codes(text)
    assert found
    assert set(found) == {expected}
    with pytest.raises(ValueError, match=r"\w"):
        bind(text, {"as_of": LITERAL})


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("SELECT 'é😀', :nope", "SELECT 'é😀', "),
        ("SELECT 'é😀' FROM x WHER y z", "SELECT 'é😀' FROM x WHER "),
        ("/* 😀 */ WITH é AS (DELETE FROM t RETURNING 1) SELECT 1", "/* 😀 */ WITH é AS (DELETE FROM "),
        ("SELECT 'ü' FROM t FOR SHARE", "SELECT 'ü' FROM t "),
        ("SELECT (", "SELECT ("),
    ],
)
def test_offsets_count_characters(text: str, at: str) -> None:
    assert check_select(text)[0].offset == len(at)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("SELECT :as_of", "SELECT 'T'"),
        ("SELECT :as_of::date, x::text;", "SELECT 'T'::date, x::text"),
        ("SELECT 'é', :as_of-interval '1 day' ; -- :as_of", "SELECT 'é', 'T'-interval '1 day'  -- :as_of\n"),
        ("SELECT ':as_of', \":as_of\", $$ :as_of $$, E'\\':as_of' /* :as_of */", None),
        ("SELECT a[1:as_of], ARRAY[:as_of], f(:as_of,:as_of)", "SELECT a[1:as_of], ARRAY['T'], f('T','T')"),
        ("SELECT 5 % 2, '%s', '%(as_of)s' WHERE a LIKE 'x%'", None),
        ("SELECT 1 -- :as_of", "SELECT 1 -- :as_of\n"),
    ],
)
def test_bind_touches_parameters_and_nothing_else(text: str, expected: str | None) -> None:
    assert bind(text, {"as_of": "'T'"}) == (text if expected is None else expected)


def test_a_literal_never_melts_into_its_neighbour() -> None:
    bound = bind("SELECT x.y=:as_of AS a", {"as_of": "'T'"})
    assert bound == "SELECT x.y='T' AS a"
    for text in ("SELECT x:as_of", "SELECT :as_of'x'", "SELECT e:as_of", "SELECT b:as_of"):
        if not check_select(text):
            names = [token.name for token in parser.scan(bind(text, {"as_of": "'T'"}))]
            assert "XCONST" not in names
            assert "BCONST" not in names


def test_bind_wants_every_literal() -> None:
    with pytest.raises(ValueError, match="as_of"):
        bind("SELECT :as_of", {})


def test_parameters_and_now() -> None:
    assert parameters("SELECT :as_of, ':x', y::z, a[1:n]") == {"as_of"}
    assert parameters("SELECT 'broken") == set()
    assert uses_now("SELECT * FROM t WHERE a < NOW()") == len("SELECT * FROM t WHERE a < ")
    assert uses_now("SELECT current_date") == len("SELECT ")
    assert uses_now("SELECT 'now()', now FROM t -- now()") is None


PIECES = [
    "SELECT", "1", "x", "FROM", "users", "WHERE", "(", ")", ",", ";", "'", '"', "$$", "--", "/*", "*/", "\n", ":as_of",
    "::date", ":", "[", "]", "DELETE FROM users", "UNION", "FOR UPDATE", "INTO t", "{{", "}}", "%", "é", "😀", "E'\\''",
    "WITH a AS (", "TO PROGRAM 'x'", "=", "AS", "a", "$1", "\\", "U&'\\0041'", "COPY", "null", "-", "b",
]  # fmt: skip


@settings(max_examples=600, deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=14), st.sampled_from(["", " "]))
def test_whatever_passes_stays_one_select_where_it_is_used(pieces: list[str], glue: str) -> None:
    text = glue.join(pieces)
    if check_select(text):
        return
    bound = bind(text, {"as_of": LITERAL})
    (subquery,) = parser.parse_sql(f"SELECT * FROM ({bound}) q")
    (copied,) = parser.parse_sql(f"COPY ({bound}) TO STDOUT")
    assert isinstance(subquery.stmt, ast.SelectStmt)
    assert isinstance(copied.stmt, ast.CopyStmt)
    assert not copied.stmt.is_program
    assert isinstance(copied.stmt.query, ast.SelectStmt)
    kept = [token.text for token in scan(text) if token.text != ";"]
    assert len([token for token in scan(bound) if token.name != "SQL_COMMENT"]) >= len(
        [word for word in kept if not word.startswith("--")]
    )


def scan(text: str) -> list[Token]:
    return [Token(token.name, text[token.start : token.end + 1]) for token in parser.scan(text)]


class Token:
    def __init__(self, name: str, text: str) -> None:
        self.name = name
        self.text = text


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=40))
def test_any_text_is_answered(text: str) -> None:
    check_select(text)
    parameters(text)
    uses_now(text)
