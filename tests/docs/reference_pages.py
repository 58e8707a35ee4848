"""The pages of `docs/reference` that are made: every key from the models, every code from its golden example."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

from skene_airflow.loop import codes, lint
from skene_airflow.loop.convert import fault_codes
from skene_airflow.loop.reference import reference
from skene_airflow.message.codes import Code
from skene_airflow.stages import describing
from tests.golden_cases import GOLDEN

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

FOLDER: Final = Path(__file__).resolve().parents[2] / "docs" / "reference"
_LONGEST: Final = 25  # lines of an example
_HEAD: Final = """\
# Faults and warnings: every code

Made from the examples in `tests/golden` by a test; do not edit. Each code has an example, and below it what is said
about it. A code never changes its meaning. Faults are `file:line:column: path of the key: what is wrong; what to write
instead [code]`; `skene-airflow validate` prints all of them, `lint` also the warnings.

| codes | are about |
|---|---|
| SK0xx | the file and its keys |
| SK1xx | values |
| SK2xx | SQL; from SK251 on, what the database says (`validate --source`) |
| SK3xx | templates |
| SK4xx | warnings: legal, and unwise |
| SK6xx | `convert` |
| SK9xx | what Airflow refuses, and what a later version will have |
"""


def titles() -> dict[str, str]:
    """Every code of every registry with its title."""
    spoken = re.findall(r'= "(SK\d{3})"\n    """(.+?)\.?"""', inspect.getsource(Code), re.DOTALL)
    registries = (codes.TITLES, describing.TITLES, dict(spoken), lint.TITLES, fault_codes.TITLES)
    return dict(sorted((code, title) for registry in registries for code, title in registry.items()))


def codes_page() -> str:
    """One heading for each code: its title, the smallest example, and what is said about it."""
    return "\n".join([_HEAD, *(line for code, title in titles().items() for line in _section(code, title))])


PAGES: Final[dict[str, Callable[[], str]]] = {"loops.md": reference, "codes.md": codes_page}


def _section(code: str, title: str) -> Iterator[str]:
    yield f"## {code}\n\n{title}.\n"
    said = next((path for path in sorted(GOLDEN.rglob(f"{code}_*.txt")) if path.parent.parent == GOLDEN), None)
    if said is None:
        return
    for file in _files(said):
        if (text := _readable(file)) is not None:
            yield f"```{file.suffix.removeprefix('.').replace('yml', 'yaml')}\n{text.rstrip()}\n```\n"
    yield f"```text\n{said.read_text(encoding='utf-8').rstrip()}\n```\n"


def _files(said: Path) -> list[Path]:
    folder = said.with_suffix("")
    if folder.is_dir():
        return sorted(path for path in folder.rglob("*") if path.is_file())
    return [path for path in said.parent.glob(f"{said.stem}.*") if path != said]


def _readable(file: Path) -> str | None:
    try:
        text = file.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return None
    lines = text.split("\n")
    is_short = len(lines) <= _LONGEST and max(map(len, lines)) <= 120
    return text if text.strip() and is_short and re.sub("[\n\t]", "", text).isprintable() else None
