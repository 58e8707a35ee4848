"""Read loops and find every fault in them without a database: the one loader of everything above."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from skene_airflow.errors import LoopError
from skene_airflow.loop.codes import UNREADABLE
from skene_airflow.loop.load import Folder, load_folder, load_loop, loop_files
from skene_airflow.message.template import check_templates
from skene_airflow.nouns import Fault

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from skene_airflow.loop.schema import Loop


def check_folder(root: Path) -> Folder:
    """Every loop below ``root``, and one error for each file that is broken or whose templates are."""
    folder = load_folder(root)
    checked = [_with_templates(loop) for loop in folder.loops]
    errors = [*folder.errors, *(error for error in checked if isinstance(error, LoopError))]
    loops = [loop for loop in checked if not isinstance(loop, LoopError)]
    return Folder(tuple(loops), tuple(sorted(errors, key=lambda error: error.file)))


def check_loop(path: Path, root: Path | None = None) -> Loop | LoopError:
    """The loop of one file, or all faults of the file and its templates; ``root`` is the loops folder."""
    loop = load_loop(path, root=root)
    return loop if isinstance(loop, LoopError) else _with_templates(loop)


def check_some(root: Path, wanted: Callable[[str], bool]) -> Folder:
    """As check_folder, for the files whose stem is wanted; the others are not even opened."""
    paths = [path for path in loop_files(root) if wanted(path.stem)]
    if len({path.stem for path in paths}) < len(paths):  # only the reader of whole folders tells twins of each other
        folder = check_folder(root)
        return Folder(
            tuple(loop for loop in folder.loops if wanted(loop.id)),
            tuple(error for error in folder.errors if wanted(PurePosixPath(error.file).stem)),
        )
    checked = [check_loop(path, root) for path in paths]
    return Folder(
        tuple(loop for loop in checked if not isinstance(loop, LoopError)),
        tuple(error for error in checked if isinstance(error, LoopError)),
    )


def check_again(loop: Loop) -> None:
    """Look at the file of a loaded loop as it stands now. Raises LoopError if it is broken or gone by now."""
    now = check_some(loop.root, loop.id.__eq__)
    if now.errors:
        raise LoopError([fault for error in now.errors for fault in error.faults], loop.file)
    if not now.loops:
        what = "the file is gone, and with it the loop"
        raise LoopError([Fault(loop.file, 1, 1, "", UNREADABLE, what, "put it back to go on")], loop.file)


def _with_templates(loop: Loop) -> Loop | LoopError:
    faults = check_templates(loop)
    return LoopError(faults, loop.file) if faults else loop
