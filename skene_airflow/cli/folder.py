"""Which loops a verb is about: the loops folder, or the paths that somebody names."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from skene_airflow.cli.deployment import option
from skene_airflow.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from skene_airflow.loop.schema import Loop
    from skene_airflow.nouns import Fault

_LOOP_ENDINGS = (".yaml", ".yml")


@dataclass(frozen=True, slots=True)
class Checked:
    """Some loops of one folder: how many files, the good ones, and every fault of the others, sorted.

    ``whole``: no path was named, or the folder itself.
    """

    root: Path
    files: int
    loops: tuple[Loop, ...]
    faults: tuple[Fault, ...]
    whole: bool


def loops_folder(given: str | None) -> Path:
    """``--loops``, else ``[skene] loops_folder``, else ``./loops``. Raises SettingsError if there is no such folder."""
    root = _named(given)
    if not root.is_dir():
        message = f"there is no folder {root}: name the loops folder with --loops, or set [skene] loops_folder"
        raise SettingsError(message)
    return root


def check(paths: Sequence[str], given: str | None) -> list[Checked]:
    """Check the loops below these paths, or the whole loops folder; one answer for each loops folder.

    Raises SettingsError for a path that is not there or is no loop.
    """
    if not paths:
        return [_check(loops_folder(given), ())]
    by_root: dict[Path, list[Path]] = {}
    for path in map(Path, paths):
        by_root.setdefault(_root_of(path, given), []).append(path)
    return [_check(root, chosen) for root, chosen in by_root.items()]


def named(loop_id: str, given: str | None) -> Loop:
    """The loop of this id. Raises LoopError if it is broken, SettingsError if there is none."""
    from skene_airflow.errors import LoopError
    from skene_airflow.loop.load import loop_files
    from skene_airflow.stages.check import check_folder

    root = loops_folder(given)
    folder = check_folder(root)
    for loop in folder.loops:
        if loop.id == loop_id:
            return loop
    broken = [error for error in folder.errors if Path(error.file).stem == loop_id]
    if broken:
        raise LoopError(as_seen([fault for error in broken for fault in error.faults], root))
    known = ", ".join(sorted(path.stem for path in loop_files(root))) or "none"
    message = f"there is no loop '{loop_id}' in {root}; there: {known}"
    raise SettingsError(message)


def as_seen(faults: Iterable[Fault], root: Path) -> list[Fault]:
    """The faults with file names that can be opened from the current folder, where it lies above the loops."""
    above = root.resolve().parent
    here = Path.cwd()
    if above == here or not above.is_relative_to(here):
        return list(faults)
    prefix = above.relative_to(here)
    return [replace(fault, file=(prefix / fault.file).as_posix()) for fault in faults]


def _named(given: str | None) -> Path:
    return Path(given or option("loops_folder").strip() or "loops").expanduser()


def _root_of(path: Path, given: str | None) -> Path:
    """The loops folder that a path belongs to: its defaults and templates count for the path."""
    if not path.exists():
        message = f"there is no file or folder {path}"
        raise SettingsError(message)
    if path.is_file() and (path.suffix.lower() not in _LOOP_ENDINGS or path.name[0] in "._"):
        message = f"{path} is no loop: name a .yaml file that does not begin with '_', or a folder"
        raise SettingsError(message)
    root, real = _named(given), path.resolve()
    if real.is_relative_to(root.resolve()):
        return root
    folder = path if path.is_dir() else path.parent
    return next((above for above in (folder, *real.parents) if (above / "templates").is_dir()), folder)


def _check(root: Path, chosen: Sequence[Path]) -> Checked:
    from skene_airflow.loop.load import loop_files
    from skene_airflow.loop.topics import read_topics
    from skene_airflow.stages.check import check_folder

    folder = check_folder(root)
    places = [path.resolve() for path in chosen]
    mine = {_shown(path, root) for path in loop_files(root) if _is_in(path.resolve(), places)}
    loops = tuple(loop for loop in folder.loops if loop.file in mine)
    faults = {fault for error in folder.errors if error.file in mine for fault in error.faults}
    whole = not places or root.resolve() in places
    if whole:
        faults.update(read_topics(root).faults)
    return Checked(root, len(mine), loops, tuple(sorted(as_seen(faults, root))), whole)


def _is_in(path: Path, places: Sequence[Path]) -> bool:
    return not places or any(path.is_relative_to(place) for place in places)


def _shown(path: Path, root: Path) -> str:
    return path.relative_to(root.parent).as_posix()
