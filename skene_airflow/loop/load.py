"""A loop file → ``Loop``, or every fault it has. A folder → its loops, and one error for each broken file."""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias

from pydantic import ValidationError

from skene_airflow.errors import LoopError
from skene_airflow.loop import codes
from skene_airflow.loop.defaults import DefaultsReader, merge, spread_action
from skene_airflow.loop.faults import translate
from skene_airflow.loop.no_loop import no_loop, no_map
from skene_airflow.loop.schema import Loop, LoopFile
from skene_airflow.loop.secrets import find_secrets, redact
from skene_airflow.loop.shared import files_below
from skene_airflow.loop.source import MAX_BYTES, parse
from skene_airflow.loop.words import keys_at, renamed
from skene_airflow.nouns import Fault

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from skene_airflow.loop.audiences import Audience, Audiences
    from skene_airflow.loop.nodes import Node

_ID: Final = re.compile(r"[a-z][a-z0-9_]{0,99}")
_ENDINGS: Final = frozenset(("yaml", "yml"))
_OTHER_FOLDERS: Final = frozenset(("templates", "segments"))


@dataclass(frozen=True, slots=True)
class Folder:
    """What a loops folder holds: the good loops by id, and one error for each broken file."""

    loops: tuple[Loop, ...]
    errors: tuple[LoopError, ...]


Known: TypeAlias = "Callable[[str, Path], bool]"
"""Whether a loop of this text in this file, with all it draws on, was found good before."""


def load_loop(path: Path, *, root: Path | None = None, known: Known | None = None) -> Loop | LoopError:
    """The loop of one file, or its faults; never raises for what a file says.

    ``root`` is the loops folder (absent: the file's own); ``_defaults.yaml`` is read from there down. What is
    ``known`` to be good is spared the checks that only find faults.
    """
    folder = root if root is not None else path.parent
    return _load(path, folder, DefaultsReader(folder), _audiences(folder), known)


def load_folder(root: Path, known: Known | None = None) -> Folder:
    """Every loop below ``root``. Files with one id are all refused; no broken file hides another.

    A named audience that is broken is an error of its own, and of each loop that reads it.
    """
    reader, audiences = DefaultsReader(root), _audiences(root)
    results = {path: _load(path, root, reader, audiences, known) for path in loop_files(root)}
    by_id: dict[str, list[Path]] = defaultdict(list)
    for path in results:
        by_id[path.stem].append(path)
    for paths in by_id.values():
        if len(paths) > 1:
            results.update({path: _twin(path, paths, results[path], root) for path in paths})
    loops = [result for result in results.values() if isinstance(result, Loop)]
    errors = [result for result in results.values() if isinstance(result, LoopError)]
    told = {fault.file for error in errors for fault in error.faults}
    errors += [
        LoopError(found)
        for found in (audiences.faults.values() if audiences else ())
        if found and found[0].file not in told
    ]
    return Folder(tuple(sorted(loops, key=lambda loop: loop.id)), tuple(errors))


def loop_files(
    root: Path, wanted: Callable[[str], bool] = lambda _: True, listed: list[str] | None = None
) -> list[Path]:
    """Every loop file below ``root`` whose stem is wanted, sorted; ``listed`` gets the folders that were looked into.

    Templates and segments are none, nor is what begins with ``_`` or ``.``.
    """
    found = []
    for folder, name in files_below(str(root), _OTHER_FOLDERS, listed):
        stem, _, ending = name.rpartition(".")
        if wanted(stem) and ending.lower() in _ENDINGS and name[0] != "_":
            found.append(Path(folder, name))
    return sorted(found)


def _twin(path: Path, paths: Iterable[Path], result: Loop | LoopError, root: Path) -> LoopError:
    others = ", ".join(_shown(other, root) for other in paths if other != path)
    what = f"the loop id '{path.stem}' is also that of {others}"
    fault = Fault(_shown(path, root), 1, 1, "", codes.DUPLICATE_LOOP, what, "rename one of the files")
    return LoopError([fault, *(result.faults if isinstance(result, LoopError) else ())], fault.file)


def _shown(path: Path, root: Path) -> str:
    base = root.parent
    return path.relative_to(base).as_posix() if path.is_relative_to(base) else path.name


def _load(
    path: Path, root: Path, reader: DefaultsReader, audiences: Audiences | None, known: Known | None
) -> Loop | LoopError:
    file = _shown(path, root)
    try:
        with path.open("rb") as opened:
            raw = opened.read(MAX_BYTES + 1)
    except OSError as error:
        what = f"the file cannot be read: {error.strerror}"
        return LoopError([Fault(file, 1, 1, "", codes.UNREADABLE, what, "mend the file or its permissions")], file)
    parsed = parse(raw, file)
    faults = [*_id_faults(path.stem, file), *find_secrets(parsed.source), *parsed.faults]
    defaults = reader.of(path.parent)
    faults += defaults.faults
    if parsed.root is None:
        return _refused(faults, file)
    if not isinstance(parsed.root.value, dict):
        return _refused([*faults, no_map(parsed.root)], file)
    if not any(renamed(key, keys_at(())) for key in parsed.root.value):
        return _refused([*faults, no_loop(parsed.root)], file)
    tree = merge(defaults.root, parsed.root) if defaults.root is not None else parsed.root
    tree = spread_action(tree)
    text = parsed.source.text
    spec, found = _validate(tree)
    used, wrong = _read_by(tree, audiences) if audiences else ((), [])
    faults += [*found, *wrong]
    if known is None or not known(text, path):
        from skene_airflow.loop.checks import check  # it imports a whole SQL parser

        faults += check(tree)
    if spec is None or faults:
        return _refused(faults, file)
    texts = (text, *defaults.texts, *(audience.query for audience in used))
    version = hashlib.sha256("\0".join(texts).encode()).hexdigest()[:12]
    return Loop.build(spec, tree, id=path.stem, file=file, text=text, root=root, version=version, audiences=used)


def _audiences(root: Path) -> Audiences | None:
    """The named audiences; None without a folder of them, and then no SQL parser is imported for their sake."""
    if not (root / "segments").is_dir():
        return None
    from skene_airflow.loop.audiences import read_audiences

    return read_audiences(root)


def _read_by(tree: Node, audiences: Audiences) -> tuple[tuple[Audience, ...], list[Fault]]:
    from skene_airflow.loop.audiences import check_audiences

    return check_audiences(tree, audiences)


def _validate(tree: Node) -> tuple[LoopFile | None, list[Fault]]:
    try:
        return LoopFile.model_validate(tree.plain()), []
    except ValidationError as error:
        return None, translate(error.errors(include_url=False), tree)


def _id_faults(stem: str, file: str) -> list[Fault]:
    if _ID.fullmatch(stem) and "__" not in stem and stem != "skene_upkeep":
        return []
    what = "the file's name is the loop's id, and this one cannot be"
    hint = "write lower-case letters, digits and single '_', a letter first, at most 100; not skene_upkeep"
    return [Fault(file, 1, 1, "", codes.LOOP_ID, what, hint)]


def _refused(faults: Iterable[Fault], file: str) -> LoopError:
    """Each fault once: what a loop gives to several steps is wrong in one place."""
    kept: dict[tuple[object, ...], Fault] = {}
    secrets = {(fault.file, fault.line) for fault in faults if fault.code == codes.SECRET}
    for found in faults:
        fault = redact(found)
        if fault != found and (fault.file, fault.line) in secrets:
            continue  # the secret itself is the mistake
        last = re.split(r"[.\[]", fault.path)[-1]
        same = (fault.file, fault.line, fault.column, fault.code, fault.message, last)
        if same not in kept or len(fault.path) < len(kept[same].path):
            kept[same] = fault
    return LoopError(list(kept.values()), file)
