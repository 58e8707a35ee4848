"""Words for what people often write and templates do not have."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_INSTEAD = {
    "safe": "values are always escaped; write the HTML into the template",
    "e": "values are escaped already",
    "escape": "values are escaped already",
    "forceescape": "values are escaped already",
    "tojson": "print the parts you need",
    "pprint": "print the parts you need",
    "attr": "write `value.name`",
    "format": "join with `~`, or use `number` or `date`",
    "strftime": "use `date`, `datetime` or `time`",
    "currency": "use `money('EUR')`",
    "timeago": "use `ago`",
    "random": "every mail must come out the same when it is made again",
}


def refusal(kind: str, name: str, known: Iterable[str]) -> tuple[str, str]:
    """Return what is wrong with a filter or test that templates do not have, and what to write instead."""
    text = f"there is no {kind} '{name}' in templates"
    if kind == "filter" and name in _INSTEAD:
        return text, _INSTEAD[name]
    near = get_close_matches(name, sorted(known), 1)
    if near:
        return text, f"did you mean '{near[0]}'?"
    return text, "there are " + ", ".join(sorted(word for word in known if word.isidentifier()))
