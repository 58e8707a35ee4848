"""Read loops and find every fault in them without a database: the one loader of everything above."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from skene_airflow.errors import LoopError
from skene_airflow.loop import sighting
from skene_airflow.loop.codes import UNREADABLE
from skene_airflow.loop.load import Folder, load_folder, load_loop, loop_files
from skene_airflow.loop.memo import Memo, memo
from skene_airflow.loop.shared import SharedFiles
from skene_airflow.nouns import Fault

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from skene_airflow.loop.schema import Loop
    from skene_airflow.loop.sighting import Sighting


class Remembered:
    """What was found good before in one loops folder, for those who read it again and again; ``shared``: its files."""

    def __init__(self, root: Path, memo: Memo) -> None:
        self.shared = SharedFiles(root)
        self._root, self._memo = root, memo
        self._keys: dict[tuple[str, Path], str] = {}

    def knows(self, text: str, path: Path) -> bool:
        """Whether this loop, with all it draws on, was found good before."""
        return self._memo.knows(self._key(text, path))

    def add(self, loop: Loop) -> None:
        """This loop is good, templates and all."""
        self._memo.add(self._key(loop.text, self._root.parent / loop.file))

    def save(self) -> None:
        """Keep what is new for the next process."""
        self._memo.save()

    def holds(self, stem: str) -> Sighting | None:
        """Where the loop of this stem was last found good, if nothing about it has changed since."""
        found = sighting.parse(self._memo.note(self._name(stem)))
        return found if found is not None and found.holds(self.shared) else None

    def again(self, stem: str) -> Loop | None:
        """The loop of this stem, if nothing about it has changed since it was last found good."""
        seen = self.holds(stem)
        if seen is None:
            return None
        path = self._root / seen.file
        loop = load_loop(path, root=self._root, known=lambda *_: True)
        if isinstance(loop, LoopError) or self.shared.digest(seen.file) != seen.digests[seen.file]:
            return None
        self.shared.trust(loop.text, path.parent, seen.drawn_on())
        return loop

    def seen(self, loop: Loop, listed: Iterable[str], began: int) -> None:
        """This loop is good, and the only one of its stem in the folders that were ``listed`` after ``began``."""
        path = self._root.parent / loop.file
        file = path.relative_to(self._root).as_posix()
        digests = {file: self.shared.digest(file), **self.shared.drawn_on(loop.text, path.parent)}
        made = sighting.sight(file, digests, (*listed, *self.shared.listing.folders), began)
        if made is not None:
            self._memo.write(self._name(path.stem), sighting.dump(made))

    def _name(self, stem: str) -> str:
        return Memo.key(("seen", str(self._root), stem))

    def _key(self, text: str, path: Path) -> str:
        if (text, path) not in self._keys:
            drawn_on = self.shared.drawn_on(text, path.parent)
            parts = (text, path.relative_to(self._root).as_posix(), *map("=".join, drawn_on.items()))
            self._keys[text, path] = Memo.key(parts)
        return self._keys[text, path]


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


def check_some(
    root: Path, wanted: Callable[[str], bool], remembered: Remembered | None = None, listed: list[str] | None = None
) -> Folder:
    """As check_folder, for the files whose stem is wanted; the others are not even opened.

    ``listed`` gets the folders that were looked into.
    """
    paths = loop_files(root, wanted, listed)
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


def check_one(root: Path, stem: str, remembered: Remembered) -> Folder:
    """As check_some for one stem, without listing the folder if nothing has changed since it was last found good."""
    if (loop := remembered.again(stem)) is not None:
        return Folder((loop,), ())
    began = sighting.now()
    listed: list[str] = []
    folder = check_some(root, stem.__eq__, remembered, listed)
    if len(folder.loops) == 1 and not folder.errors:
        remembered.seen(folder.loops[0], listed, began)
    return folder


def check_again(loop: Loop) -> None:
    """Look at the file of a loaded loop as it stands now. Raises LoopError if it is broken or gone by now."""
    remembered = Remembered(loop.root, memo())
    if remembered.holds(loop.id):
        return
    now = check_one(loop.root, loop.id, remembered)
    remembered.save()
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
