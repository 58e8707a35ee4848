"""Golden cases: the smallest file with one thing wrong, and beside it exactly what is said about it.

A case is `<code>_<name>.yaml` (read as `loops/hello.yaml`), `.html` (as `loops/templates/hello.html`), or a folder
(read as `loops/`). After a change of words: `SKENE_GOLDEN=write pytest <the test>`, and read the difference.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

GOLDEN = Path(__file__).parent / "golden"
LOOP = """\
type: retention
opinion: People who have not been here for a week
steps:
  - trigger: {type: schedule, cron: "0 9 * * *"}
    condition: SELECT * FROM users
    action: {type: email, template: hello}
guard: {max: 5000}
"""
TEMPLATE = "---\nsubject: Hello\n---\n<p>Hello</p>\n"


def cases(kind: str, *endings: str) -> list[Path]:
    """Every case of a folder of `tests/golden`, without the texts beside them."""
    found = [path for path in (GOLDEN / kind).iterdir() if path.is_dir() or path.suffix in endings]
    return sorted(found)


def lay_out(case: Path, root: Path) -> Path:
    """The loops folder of a case."""
    if case.is_dir():
        shutil.copytree(case, root)
        return root
    (root / "templates").mkdir(parents=True)
    (root / "hello.yaml").write_text(LOOP, encoding="utf-8")
    (root / "templates" / "hello.html").write_text(TEMPLATE, encoding="utf-8")
    target = root / ("hello.yaml" if case.suffix == ".yaml" else "templates/hello.html")
    target.write_bytes(case.read_bytes())
    return root


def expected(case: Path, said: str, ending: str = ".txt") -> str:
    """What is written beside a case; written anew if SKENE_GOLDEN says so."""
    beside = case.with_name(f"{case.name if case.is_dir() else case.stem}{ending}")
    if os.environ.get("SKENE_GOLDEN") == "write":
        beside.write_text(said, encoding="utf-8")
    return beside.read_text(encoding="utf-8")
