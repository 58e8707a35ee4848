"""What is legal and still unwise: warnings with stable codes. Each has to be worth a person's time."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from skene_airflow.loop.fields import shown
from skene_airflow.loop.schema import EmailAction, QueryCondition
from skene_airflow.loop.sql import uses_now
from skene_airflow.loop.topics import NO_TITLE, UNUSED_TOPIC
from skene_airflow.nouns import Fault

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from skene_airflow.loop.schema import Loop, Step

NOW: Final = "SK401"
USER_KEY: Final = "SK402"
UNUSED_TEMPLATE: Final = "SK403"
PRINTED_AS_IS: Final = "SK404"
NO_GUARD: Final = "SK405"
KEY_IS_ADDRESS: Final = "SK408"
NAME_TAKEN: Final = "SK409"

TITLES: Final[dict[str, str]] = {
    NOW: "The query asks for the present time",
    USER_KEY: "Loops identify people by different columns",
    UNUSED_TEMPLATE: "A template that no loop uses",
    PRINTED_AS_IS: "A placeholder of another tool, which is printed as it stands",
    NO_GUARD: "A live marketing loop without a guard",
    NO_TITLE: "A topic without a title, though others have one",
    UNUSED_TOPIC: "A title of a topic that no loop has",
    KEY_IS_ADDRESS: "People are known by their address",
    NAME_TAKEN: "An earlier name that another loop goes by",
}

_TEMPLATES: Final = "templates"
# ${user.name}, {user.name}, *|NAME|*, %name%, <%= name %>, and “quotes” that YAML takes for letters.
_FOREIGN: Final = re.compile(
    r"""\$\{\ ?[\w.]+\ ?\} | (?<!\{)\{\ ?[a-z_]+(?:\.[a-z_]+)+\ ?\}(?!\}) | \*\|\w+\|\* | %[A-Za-z_]+% | <%=
    | ^[\u201c\u201e\u2018].*[\u201d\u2019\u201c]$""",
    re.VERBOSE,
)
_ENDINGS: Final = frozenset((".html", ".md", ".txt"))


def lint_loops(loops: Sequence[Loop]) -> list[Fault]:
    """The warnings about these loops, each alone and all together."""
    found = [fault for loop in loops for fault in (*_now(loop), *_foreign(loop), *_guard(loop), *_key(loop))]
    return sorted([*found, *_user_keys(loops), *_names(loops)])


def unused_templates(loops: Iterable[Loop], root: Path) -> list[Fault]:
    """One warning for each file in ``templates/`` that none of these loops, all of the folder, can send."""
    used = {name for loop in loops for step in loop.steps for name in _templates(step)}
    folder = root / _TEMPLATES
    found = []
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix().split(".")[0]
        if path.is_file() and path.suffix in _ENDINGS and path.name[0] not in "._" and name not in used:
            what, hint = "no loop uses this template", f"name it in a loop (`template: {name}`), or delete it"
            found.append(
                _warning(Fault(path.relative_to(root.parent).as_posix(), 1, 1, "", UNUSED_TEMPLATE, what, hint))
            )
    return found


def _now(loop: Loop) -> Iterator[Fault]:
    for step in loop.steps:
        query = step.condition.query if isinstance(step.condition, QueryCondition) else ""
        offset = uses_now(query)
        if offset is None:
            continue
        what = "the query asks for the present time: a run that is late or repeated sees other people"
        hint = "write :as_of, the time the run is for"
        path = loop.query_path(step)
        file, line, column = loop.place(path, offset)
        yield _warning(Fault(file, line, column, path, NOW, what, hint))


def _foreign(loop: Loop) -> Iterator[Fault]:
    for index, step in enumerate(loop.steps):
        for name, value in step.action.personalization.items():
            if isinstance(value, str) and (found := _FOREIGN.search(value)):
                what = f"this prints {shown(found.group())} as it stands"
                path = f"steps[{index}].action.personalization.{name}"
                yield _warning(loop.fault(path, PRINTED_AS_IS, what, 'write an expression: "{{ user.name }}"'))


def _guard(loop: Loop) -> Iterator[Fault]:
    braked = loop.guard is not None and any(brake is not None for _, brake in loop.guard)
    if loop.mode == "live" and loop.class_ == "marketing" and not braked:
        what = "nothing holds a run whose condition suddenly returns everybody"
        hint = "write `guard: {max: 5000, max_growth: 5x}`, with the most people that you expect in one run"
        yield _warning(loop.fault("guard", NO_GUARD, what, hint))


def _key(loop: Loop) -> Iterator[Fault]:
    if loop.user.key == loop.user.email:
        what = f"people are known by their address ('{loop.user.key}'): it stands in every view, and for good"
        hint = "name a column that means nothing outside of your database, such as `user: {key: id}`"
        yield _warning(loop.fault("user.key", KEY_IS_ADDRESS, what, hint))


def _user_keys(loops: Sequence[Loop]) -> Iterator[Fault]:
    keys = Counter(loop.user.key for loop in loops)
    if len(keys) < 2:
        return
    common = min(keys, key=lambda key: (-keys[key], key))
    for loop in loops:
        if loop.user.key != common:
            what = f"people are known by '{loop.user.key}' here and by '{common}' in other loops"
            hint = f"write one key in _defaults.yaml; one person with two keys counts as two ('{common}' is used most)"
            yield _warning(loop.fault("user.key", USER_KEY, what, hint))


def _names(loops: Sequence[Loop]) -> Iterator[Fault]:
    for loop in loops:
        for index, name in enumerate(loop.was):
            if other := next((each.id for each in loops if each is not loop and name in (each.id, *each.was)), None):
                what = f"'{name}' is also a name of the loop '{other}': neither knows whom the other will mail"
                hint = f"remove the file of '{other}' if this is it under a new name; else leave '{name}' out"
                yield _warning(loop.fault(f"was[{index}]", NAME_TAKEN, what, hint))


def _templates(step: Step) -> Iterator[str]:
    if isinstance(step.action, EmailAction):
        yield step.action.template
        yield from (each.template for each in (step.action.variants or {}).values() if each.template)
    for segment in step.segments if isinstance(step.segments, tuple) else ():
        if segment.action is not None and segment.action.template:
            yield segment.action.template


def _warning(fault: Fault) -> Fault:
    return replace(fault, severity="warning")
