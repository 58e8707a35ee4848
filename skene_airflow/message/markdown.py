"""Markdown to HTML, with its Jinja carried through unharmed."""

from __future__ import annotations

import re
from functools import lru_cache

from markdown_it import MarkdownIt

from skene_airflow.message.tags import Piece, literal


@lru_cache(maxsize=1)
def _parser() -> MarkdownIt:
    return MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])


def to_html(pieces: list[Piece]) -> str:
    """Return the HTML, as a Jinja source, of Markdown with Jinja in it."""
    stem = _unused_word("".join(piece.text for piece in pieces))
    marked = _mark(pieces, stem)
    html = literal(_parser().render(marked))
    # A block that stands alone in a paragraph is not text: its paragraph would remain, empty.
    alone = re.compile(rf"<p>((?:{stem}b\d+z\s*)+)</p>")
    html = alone.sub(lambda found: found.group(1).strip(), html)
    return re.sub(rf"{stem}[bp](\d+)z", lambda found: pieces[int(found.group(1))].source, html)


def _mark(pieces: list[Piece], stem: str) -> str:
    out: list[str] = []
    for index, piece in enumerate(pieces):
        if piece.kind == "data":
            out.append(piece.text)
        elif piece.kind == "print":
            out.append(f"{stem}p{index}z")
        else:
            mark = f"{stem}b{index}z"
            out.append(f"\n\n{mark}\n\n" if _alone(pieces, index) else mark)
    return "".join(out)


def _alone(pieces: list[Piece], index: int) -> bool:
    """Tell whether a block has a line, or a run of lines with other blocks, for itself."""
    return _ends_line(pieces, index, -1) and _ends_line(pieces, index, 1)


def _ends_line(pieces: list[Piece], index: int, step: int) -> bool:
    index += step
    while 0 <= index < len(pieces):
        piece = pieces[index]
        if piece.kind == "print":
            return False
        if piece.kind == "data":
            before, newline, after = piece.text.rpartition("\n") if step < 0 else piece.text.partition("\n")
            near = after if step < 0 else before
            if newline:
                return not near.strip()
            whole = piece.text
            if whole.strip():
                return False
        index += step
    return True


def _unused_word(source: str) -> str:
    number = 0
    while f"skx{number}q" in source:
        number += 1
    return f"skx{number}q"
