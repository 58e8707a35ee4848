"""One Python file for each loop file: Airflow reads no YAML. It shows the YAML, and changes whenever the loop does."""

from __future__ import annotations

import hashlib
import json
import os
from typing import TYPE_CHECKING

from skene_airflow.dag_factory.stand_in import UPKEEP
from skene_airflow.loop.load import loop_files
from skene_airflow.loop.shared import SharedFiles

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

_FORMAT = "1"
_SEAL = ".made_from"
_SHOWN = 256 * 1024
_STUB = """r{quote}
{text}
{quote}
# The loop file {file} as an Airflow DAG, made by skene_airflow. Edit the loop, never this file.
from skene_airflow.dag_factory.stub import dags_of_loop

globals().update(dags_of_loop({root}, {name}))
{drawn_on}"""
_UPKEEP = """# The built-in Airflow DAG of skene_airflow.
from skene_airflow.dag_factory.stub import dags_of_upkeep

globals().update(dags_of_upkeep({root}))
"""


def write_stubs(root: Path, out: Path) -> None:
    """Make the stubs in ``out`` what the loops folder ``root`` says now; those that stay the same are not touched.

    Looks at names, sizes and times first, and opens files only if something changed. One writer at a time.
    """
    seal = state_of(root)
    sealed = out / _SEAL
    if sealed.is_file() and sealed.read_text(encoding="utf-8") == seal:
        return
    stubs = dict(_stubs(root))
    out.mkdir(parents=True, exist_ok=True)
    for name, text in stubs.items():
        _write(out / name, text)
    for path in sorted(out.rglob("*.py"), reverse=True):
        if path.relative_to(out).as_posix() not in stubs:
            path.unlink()
    _write(sealed, seal)


def state_of(root: Path) -> str:
    """A digest that changes with any change to any file of the loops folder."""
    digest = hashlib.sha256(f"{_FORMAT}\0{root}".encode())
    for where, below, files in os.walk(root):
        below[:] = sorted(name for name in below if name[0] != ".")
        for name in sorted(files):
            path = f"{where}/{name}"
            try:
                stat = os.stat(path)  # noqa: PTH116 - on every refresh, for every file: Path would double the time
            except OSError:
                continue
            facts = (path, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_size, stat.st_ino)
            digest.update(json.dumps(facts).encode())
    return digest.hexdigest()


def _stubs(root: Path) -> Iterator[tuple[str, str]]:
    yield f"{UPKEEP}.py", _UPKEEP.format(root=ascii(str(root)))
    shared = SharedFiles(root)
    files = loop_files(root)
    by_stem: dict[str, list[Path]] = {}
    for path in files:
        by_stem.setdefault(path.stem, []).append(path)
    for path in files:
        name = path.relative_to(root).as_posix()
        twins = [twin.relative_to(root).as_posix() for twin in by_stem[path.stem] if twin != path]
        shown = name.encode("utf-8", "replace").decode()  # half a character in a name would stop Airflow's database
        yield f"{shown}.py", stub(root, path, name, shared, twins)


def stub(root: Path, path: Path, name: str, shared: SharedFiles, twins: Sequence[str]) -> str:
    """The text of one stub."""
    try:
        text = path.read_bytes()[:_SHOWN].decode("utf-8", "replace")
    except OSError:
        text = ""
    drawn_on = [f"# with {other} {digest}\n" for other, digest in shared.drawn_on(text, path.parent).items()]
    drawn_on += [f"# has the same id as {twin}\n" for twin in twins]
    text = text.replace("\0", "\ufffd").rstrip()
    # A raw text ends at its own quotes only; where both kinds are taken, one that is no YAML's any more will do.
    quote = next((quote for quote in ('"""', "'''") if quote not in text), '"""')
    return _STUB.format(
        quote=quote,
        text=text.replace('"""', '" " "') if quote in text else text,
        file=ascii(f"{root.name}/{name}"),
        root=ascii(str(root)),
        name=ascii(name),
        drawn_on="".join(ascii(line)[1:-1].replace("\\n", "\n") for line in drawn_on),
    )


def _write(path: Path, text: str) -> None:
    """Write a file in one step, and only if it would change: Airflow reads anew what is newer."""
    try:
        if path.read_text(encoding="utf-8") == text:
            return
    except (FileNotFoundError, UnicodeDecodeError):
        path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.new")
    beside.write_text(text, encoding="utf-8")
    beside.replace(path)
