"""A mail that anybody may see: every value that comes from a person's row is the name of its column, ‹name›.

What a template asks of the person (`if`, `for`) still decides which words appear; no value of the person is printed.
"""

from __future__ import annotations

from dataclasses import replace
from html import escape
from typing import TYPE_CHECKING, Final

from jinja2 import nodes

from skene_airflow.message.blueprint import Words
from skene_airflow.message.environment import sandbox
from skene_airflow.message.notice import NoticeRenderer
from skene_airflow.message.render import Renderer, Site
from skene_airflow.message.sample import ADDRESS, KEY, sample_row
from skene_airflow.message.tags import Piece, literal, split
from skene_airflow.nouns import Message

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from skene_airflow.message.blueprint import Blueprint
    from skene_airflow.message.render import Row

_OURS: Final = frozenset({"loop", "step", "segment", "variant", "_postal_address", "_links"})
"""Names that say nothing of a person. Whatever is not known to be harmless is masked."""


def specimen(blueprint: Blueprint, row: Row | None = None) -> Message:
    """Return the mail (or message in the app) with the names of columns in place of values.

    It is made for a person's ``row``, or for somebody made up.

    Nothing in it is the person's, not even the recipient. Raises MissingVariable (CannotRender is one) where the
    template's own logic cannot be followed with these values.
    """
    person = sample_row(blueprint) if row is None else replace(row, address=ADDRESS, user_key=KEY)
    shown = masked(blueprint)
    if not shown.in_app:
        return Renderer(shown, Site()).render(person)
    # A link that names columns leads nowhere: it is shown as words below the others.
    words = "\n\n".join(filter(None, (shown.text, shown.link)))
    notice = NoticeRenderer(replace(shown, text=words, link=None)).render(person)
    return Message(0, "", ADDRESS, "", notice.title, "", notice.body)


def masked(blueprint: Blueprint) -> Blueprint:
    """Return the same mail with ‹column› in place of every print that reads a person's row."""
    read = {key: tuple(_columns(value)) for key, value in blueprint.personalization.items()}
    words = _masked(blueprint.words, read)
    return replace(
        blueprint,
        subject=words.subject,
        preheader=words.preheader,
        html=words.html,
        text=words.text,
        languages={tag: _masked(each, read) for tag, each in blueprint.languages.items()},
        link=None if blueprint.link is None else _source(blueprint.link, read),
    )


def _masked(words: Words, read: Mapping[str, tuple[str, ...]]) -> Words:
    subject, preheader, text = (_source(source, read) for source in (words.subject, words.preheader, words.text))
    return Words(subject, preheader, _source(words.html, read, html=True), text)


def _source(source: str, read: Mapping[str, tuple[str, ...]], *, html: bool = False) -> str:
    # A template may give any name a value of the person's: then the name is harmless no more.
    tree = sandbox(escape=False).parse(source)
    stored = {name.name for name in tree.find_all(nodes.Name) if name.ctx != "load"}
    harmless = (_OURS | {key for key, columns in read.items() if not columns}) - stored
    known = {key: columns for key, columns in read.items() if key not in stored}
    return "".join(_piece(piece, known, harmless, html=html) for piece in split(source))


def _piece(piece: Piece, read: Mapping[str, tuple[str, ...]], harmless: frozenset[str], *, html: bool) -> str:
    if piece.kind != "print":
        return piece.source
    found: dict[str, None] = {}
    for name in _names(piece.source):
        if name not in harmless:
            found.update(dict.fromkeys(read.get(name, (name.removeprefix("user."),))))
    text = " ".join(f"‹{name}›" for name in found)
    return literal(escape(text) if html else text) if found else piece.source


def _columns(value: object) -> Iterator[str]:
    """The columns that a value of `personalization` reads."""
    names = _names(value) if isinstance(value, str) else ()
    return (name.removeprefix("user.") for name in names if name not in _OURS)


def _names(source: str) -> Iterator[str]:
    """The names that a source reads, in its order; columns of the person as `user.column`."""
    yield from dict.fromkeys(_read(sandbox(escape=False).parse(source)))


def _read(node: nodes.Node) -> Iterator[str]:
    match node:
        case nodes.Getattr(node=nodes.Name(name="user"), attr=str() as column):
            yield f"user.{column}"
        case nodes.Getitem(node=nodes.Name(name="user"), arg=nodes.Const(value=str() as column)):
            yield f"user.{column}"
        case nodes.Name(name=name):
            yield name
        case _:
            for child in node.iter_child_nodes():
                yield from _read(child)
