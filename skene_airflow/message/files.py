"""Which files are a template: one for each language of its HTML or Markdown, and text parts written by hand."""

from __future__ import annotations

import re
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING

from skene_airflow.message.codes import Code
from skene_airflow.message.languages import DEFAULT, chain, is_language, normal
from skene_airflow.nouns import Fault

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from skene_airflow.loop.schema import Loop

FOLDER = "templates"
ENDINGS = (".html", ".md")
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]*(/[A-Za-z0-9_][A-Za-z0-9_-]*)*")


@dataclass(frozen=True, slots=True)
class Version:
    """The files of one language: the page, and the text part if somebody wrote one."""

    path: Path
    text: Path | None = None


def label(loop: Loop, path: Path) -> str:
    """Return a file's name as people know it: relative to the folder that holds the loops folder."""
    try:
        return path.relative_to(loop.root.parent).as_posix()
    except ValueError:
        return path.name


def find_template(loop: Loop, name: str, where: str) -> tuple[Mapping[str, Version], list[Fault]]:
    """Return the files of a template by language (`DEFAULT`, `pt`, `pt-br`) and the faults of their names.

    ``where`` is the path of the key in the loop that names the template.
    """
    if not _NAME.fullmatch(name):
        hint = "write the file's name without its ending: small letters, digits and `_`"
        return {}, [loop.fault(where, Code.BAD_NAME.value, f"'{name[:60]}' is no plain name", hint)]
    folder = loop.root / FOLDER
    if all((folder / f"{name}{ending}").is_file() for ending in ENDINGS):
        text = f"the template '{name}' exists as .html and as .md"
        return {}, [loop.fault(where, Code.TWO_FILES.value, text, "keep one of them")]
    pages, faults = _by_language(loop, folder / name, ENDINGS)
    texts, more = _by_language(loop, folder / name, (".txt",))
    faults += more
    if DEFAULT not in pages:
        text = f"there is no template '{name}'"
        hint = _nearest(folder, name)
        if pages:
            text, hint = f"the template '{name}' has no default language", f"write it as {FOLDER}/{name}.html"
        return {}, [*faults, loop.fault(where, Code.NOT_FOUND.value, text, hint)]
    for language, path in texts.items():
        if language not in pages:
            hint = f"write {path.with_suffix('.html').name} too, or delete this file"
            faults.append(_fault(loop, path, Code.NOT_FOUND, "a text part without its HTML", hint))
    return {language: Version(path, texts.get(language)) for language, path in pages.items()}, faults


def in_language(folder: Path, name: str, language: str) -> Path | None:
    """Return the file ``name`` (with its ending) in a language, else in the next more general one, else as named."""
    plain = folder / name
    known = {
        normal(path.name.removeprefix(f"{plain.stem}.").removesuffix(plain.suffix)): path
        for path in plain.parent.glob(f"{plain.stem}.*{plain.suffix}")
        if path != plain
    }
    found = next((known[tag] for tag in chain(language) if tag in known), plain)
    return found if found.is_file() else None


def _by_language(loop: Loop, base: Path, endings: tuple[str, ...]) -> tuple[dict[str, Path], list[Fault]]:
    found: dict[str, Path] = {}
    faults: list[Fault] = []
    for path in sorted(base.parent.glob(f"{base.name}.*")):
        if path.suffix not in endings or not path.is_file():
            continue
        middle = path.name.removeprefix(base.name).removesuffix(path.suffix).removeprefix(".")
        if middle and not is_language(middle):
            hint = "a file for one language is named like `welcome.pt-BR.html`"
            faults.append(_fault(loop, path, Code.NO_LANGUAGE, f"'{middle[:40]}' is no language", hint))
        elif normal(middle) in found:
            text = f"{found[normal(middle)].name} stands for the same language of this template"
            faults.append(_fault(loop, path, Code.TWO_FILES, text, "keep one of them"))
        else:
            found[normal(middle)] = path
    return found, faults


def _fault(loop: Loop, path: Path, code: Code, message: str, hint: str) -> Fault:
    return Fault(label(loop, path), 1, 1, "", code.value, message, hint)


def _nearest(folder: Path, name: str) -> str:
    files = [path for path in folder.rglob("*") if path.suffix in ENDINGS and path.name[0] not in "._"]
    known = sorted(path.relative_to(folder).with_suffix("").as_posix() for path in files)
    near = get_close_matches(name, known, 1)
    return f"did you mean '{near[0]}'?" if near else f"write it as {FOLDER}/{name}.html"
