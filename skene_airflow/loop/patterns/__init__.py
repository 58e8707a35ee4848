"""The patterns that `new` starts a loop from: each a loop and its templates, sound as they stand.

In ``<pattern>.yaml`` and ``<pattern>.html`` the word ``LOOP_NAME`` stands for the name of the new loop.
"""

from __future__ import annotations

from typing import Final

NAME: Final = "LOOP_NAME"

PATTERNS: Final[dict[str, str]] = {
    "dormant": "people who have not been seen for a week",
    "feature_discovery": "people who have never used a feature",
    "adoption": "one feature, from an event table: who has not used it, and who has (two steps, a goal)",
    "milestone": "people who reached a number",
    "onboarding": "people who signed up and have not begun",
    "win_back": "customers who have been gone for months",
    "trial_ending": "people whose trial ends within days",
}
"""Every pattern with the people it is about."""
MORE: Final[dict[str, tuple[str, ...]]] = {"adoption": ("advanced",)}
"""Templates beside the one that has the loop's name."""


def scaffold(pattern: str, name: str) -> dict[str, str]:
    """The files of a new loop: text by path below the loops folder, the YAML first and then its templates.

    Raises KeyError for a pattern that is not there.
    """
    from importlib.resources import files

    if pattern not in PATTERNS:
        raise KeyError(pattern)
    folder = files(__package__)
    sources = {f"{name}.yaml": f"{pattern}.yaml", f"templates/{name}.html": f"{pattern}.html"}
    sources |= {f"templates/{name}_{more}.html": f"{pattern}_{more}.html" for more in MORE.get(pattern, ())}
    return {
        path: folder.joinpath(source).read_text(encoding="utf-8").replace(NAME, name)
        for path, source in sources.items()
    }
