"""The patterns that `new` starts a loop from: each a loop and its template, sound as they stand.

In ``<pattern>.yaml`` and ``<pattern>.html`` the word ``LOOP_NAME`` stands for the name of the new loop.
"""

from __future__ import annotations

from typing import Final

NAME: Final = "LOOP_NAME"

PATTERNS: Final[dict[str, str]] = {
    "dormant": "people who have not been seen for a week",
    "feature_discovery": "people who have never used a feature",
    "milestone": "people who reached a number",
    "onboarding": "people who signed up and have not begun",
    "win_back": "customers who have been gone for months",
    "trial_ending": "people whose trial ends within days",
}
"""Every pattern with the people it is about."""


def scaffold(pattern: str, name: str) -> tuple[str, str]:
    """The YAML and the template of a new loop. Raises KeyError for a pattern that is not there."""
    from importlib.resources import files

    if pattern not in PATTERNS:
        raise KeyError(pattern)
    folder = files(__package__)
    texts = (folder.joinpath(f"{pattern}.{kind}").read_text(encoding="utf-8") for kind in ("yaml", "html"))
    yaml, html = (text.replace(NAME, name) for text in texts)
    return yaml, html
