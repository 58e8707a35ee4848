"""Read loops and find every fault in them without a database: the one loader of everything above."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from skene_airflow.errors import LoopError
from skene_airflow.loop.codes import UNREADABLE
from skene_airflow.loop.load import Folder, load_folder, load_loop, loop_files
from skene_airflow.loop.memo import Memo
from skene_airflow.loop.shared import SharedFiles
from skene_airflow.nouns import Fault

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from skene_airflow.loop.schema import Loop


class Remembered:
    """What was found good before in one loops folder, for those who read it again and again; ``shared``: its files."""

    def __init__(self, root: Path, memo: Memo) -> None:
        self.shared = SharedFiles(root)
        self._root, self._memo = root, memo

    def knows(self, text: str, path: Path) -> bool:
        """Whether this loop, with all it draws on, was found good before."""
        return self._memo.knows(self._key(text, path))

    def add(self, loop: Loop) -> None:
        """This loop is good, templates and all."""
        self._memo.add(self._key(loop.text, self._root.parent / loop.file))

    def save(self) -> None:
        """Keep what is new for the next process."""
        self._memo.save()

    def _key(self, text: str, path: Path) -> str:
        drawn_on = self.shared.drawn_on(text, path.parent)
        return Memo.key((text, path.relative_to(self._root).as_posix(), *map("=".join, drawn_on.items())))


def check_folder(root: Path, remembered: Remembered | None = None) -> Folder:
    """Every loop below ``root``, and one error for each file that is broken or whose templates are."""
    folder = load_folder(root, remembered.knows if remembered else None)
    checked = [_with_templates(loop, remembered) for loop in folder.loops]
    errors = [*folder.errors, *(error for error in checked if isinstance(error, LoopError))]
    loops = [loop for loop in checked if not isinstance(loop, LoopError)]
    return Folder(tuple(loops), tuple(sorted(errors, key=lambda error: error.file)))


def check_loop(path: Path, root: Path | None = None, remembered: Remembered | None = None) -> Loop | LoopError:
    """The loop of one file, or all faults of the file and its templates; ``root`` is the loops folder."""
    loop = load_loop(path, root=root, known=remembered.knows if remembered else None)
    return loop if isinstance(loop, LoopError) else _with_templates(loop, remembered)


def check_some(root: Path, wanted: Callable[[str], bool], remembered: Remembered | None = None) -> Folder:
    """As check_folder, for the files whose stem is wanted; the others are not even opened."""
    paths = loop_files(root, wanted)
    if len({path.stem for path in paths}) < len(paths):  # only the reader of whole folders tells twins of each other
        folder = check_folder(root, remembered)
        return Folder(
            tuple(loop for loop in folder.loops if wanted(loop.id)),
            tuple(error for error in folder.errors if wanted(PurePosixPath(error.file).stem)),
        )
    checked = [check_loop(path, root, remembered) for path in paths]
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


def _with_templates(loop: Loop, remembered: Remembered | None) -> Loop | LoopError:
    if remembered and remembered.knows(loop.text, loop.root.parent / loop.file):
        return loop
    from skene_airflow.message.template import check_templates  # it imports all that makes mails

    faults = check_templates(loop)
    if remembered and not faults:
        remembered.add(loop)
    return LoopError(faults, loop.file) if faults else loop
