"""A key's path as people write it, read back."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from skene_airflow.loop.nodes import Loc

_PART: Final = re.compile(r"\[(\d+)\]|([^.\[\]]+)")


def parse_path(text: str) -> Loc:
    """``steps[0].action.template`` → ``("steps", 0, "action", "template")``."""
    return tuple(int(match[1]) if match[1] else match[2] for match in _PART.finditer(text))
