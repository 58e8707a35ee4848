"""The double's memory on disk: what was accepted, and which keys were used, one JSON line for each call."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path


class Journal:
    """An append-only file in ``folder`` (made if needed). A line that was cut by a crash is left out."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / "calls.jsonl"
        self._lock = threading.Lock()
        self._file = self._path.open("a+", encoding="utf-8")

    def read(self) -> Iterator[dict[str, Any]]:
        """Every whole line, in order."""
        with self._path.open(encoding="utf-8") as lines:
            for line in lines:
                try:
                    yield json.loads(line)
                except ValueError:
                    continue

    def write(self, call: Mapping[str, Any]) -> None:
        """Add one line before the answer leaves."""
        # The newline before it ends whatever a crash left half-written.
        with self._lock:
            self._file.write("\n" + json.dumps(call, separators=(",", ":")) + "\n")
            self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()
