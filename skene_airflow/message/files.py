"""Which files are a template: its HTML or Markdown, a text part written by hand, and what is not read yet."""

from __future__ import annotations

import re
from difflib import get_close_matches
from typing import TYPE_CHECKING

from skene_airflow.message.codes import Code
from skene_airflow.nouns import Fault

if TYPE_CHECKING:
    from pathlib import Path

    from skene_airflow.loop.schema import Loop

FOLDER = "templates"
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]*(/[A-Za-z0-9_][A-Za-z0-9_-]*)*")
_LAYOUTS = ("_layout.html", "_layout.md")


def label(loop: Loop, path: Path) -> str:
    """Return a file's name as people know it: relative to the folder that holds the loops folder."""
    try:
        return path.relative_to(loop.root.parent).as_posix()
    except ValueError:
        return path.name


def find_template(loop: Loop, name: str, where: str) -> tuple[Path | None, list[Fault]]:
    """Return the file of a template and the faults of its name; ``where`` is the key's path in the loop."""
    if not _NAME.fullmatch(name):
        hint = "write the file's name without its ending: small letters, digits and `_`"
        return None, [loop.fault(where, Code.BAD_NAME.value, f"'{name[:60]}' is no plain name", hint)]
    folder = loop.root / FOLDER
    found = [path for path in (folder / f"{name}.html", folder / f"{name}.md") if path.is_file()]
    if not found:
        return None, [loop.fault(where, Code.NOT_FOUND.value, f"there is no template '{name}'", _nearest(folder, name))]
    if len(found) > 1:
        text = f"the template '{name}' exists as .html and as .md"
        return None, [loop.fault(where, Code.TWO_FILES.value, text, "keep one of them")]
    return found[0], _not_yet(loop, folder, found[0])


def text_path(path: Path) -> Path | None:
    """Return the text part written by hand for a template, if there is one."""
    text = path.with_suffix(".txt")
    return text if text.is_file() else None


def _nearest(folder: Path, name: str) -> str:
    files = [path for path in folder.rglob("*") if path.suffix in (".html", ".md")]
    known = sorted(path.relative_to(folder).with_suffix("").as_posix() for path in files)
    near = get_close_matches(name, known, 1)
    return f"did you mean '{near[0]}'?" if near else f"write it as {FOLDER}/{name}.html"


def _not_yet(loop: Loop, folder: Path, path: Path) -> list[Fault]:
    """Return a fault for each file that the contract knows and this version would pass over in silence."""
    later = [item for item in path.parent.glob(f"{path.stem}.*") if _is_variant(item, path.stem)]
    faults = [(item, "a template for one language", "keep one language in this template") for item in sorted(later)]
    own = [folder / name for name in _LAYOUTS if (folder / name).is_file()]
    faults += [(item, "a layout of one's own", "write the whole <html> page into the template") for item in own]
    return [
        Fault(label(loop, item), 1, 1, "", Code.NOT_SUPPORTED.value, f"{what} is not supported yet", hint)
        for item, what, hint in faults
    ]


def _is_variant(path: Path, stem: str) -> bool:
    rest = path.name.removeprefix(f"{stem}.")
    return "." in rest and path.suffix in (".html", ".md", ".txt")
