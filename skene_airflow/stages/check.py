"""Read loops and find every fault in them without a database: the one loader of everything above."""

from __future__ import annotations

from typing import TYPE_CHECKING

from skene_airflow.errors import LoopError
from skene_airflow.loop.load import Folder, load_folder, load_loop
from skene_airflow.message.template import check_templates

if TYPE_CHECKING:
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


def _with_templates(loop: Loop) -> Loop | LoopError:
    faults = check_templates(loop)
    return LoopError(faults, loop.file) if faults else loop
