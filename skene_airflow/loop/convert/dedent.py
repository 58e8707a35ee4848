"""SQL from an indented template literal, without the indentation, if that leaves the very same tokens."""

from __future__ import annotations

from textwrap import dedent

from pglast import parser


def dedent_sql(text: str) -> str:
    """The query as it would stand in a YAML block; unchanged where the spaces belong to a string of the query."""
    if "\n" not in text:
        return text
    first, *rest = [line.rstrip() for line in text.expandtabs(4).rstrip().split("\n")]
    lines = dedent("\n".join(rest)).split("\n")
    # The first line may stand right behind the backtick, where it has no indentation to take away.
    shorter = "\n".join([first.lstrip(), *lines] if first.strip() else lines).strip("\n") + "\n"
    tokens = _tokens(text)
    return shorter if tokens is not None and tokens == _tokens(shorter) else text


def _tokens(text: str) -> list[str] | None:
    try:
        return [text[token.start : token.end + 1].rstrip() for token in parser.scan(text)]
    except parser.ParseError:
        return None
