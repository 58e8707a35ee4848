"""What a verb is: its words, its arguments and one function. The same for our own command and for Airflow's."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument: its flags, and argparse's options for it."""

    flags: tuple[str, ...]
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Verb:
    """One verb. ``run`` returns the exit code; it imports what it needs when it is called, not before."""

    description: str
    run: Callable[[argparse.Namespace], int]
    arguments: tuple[Argument, ...] = ()
    epilog: str = ""
    actions: Mapping[str, Verb] = field(default_factory=dict)
    """The verbs below it (`deliveries retry`), by name; it then has no arguments of its own."""


def below(description: str, actions: Mapping[str, Verb], epilog: str = "") -> Verb:
    """A verb that only groups others."""
    return Verb(description, lambda args: actions[args.action].run(args), (), epilog, actions)


def format_argument(*choices: str) -> Argument:
    """``--format`` with these choices, the first of them the default."""
    return Argument(
        ("--format",),
        {"choices": choices, "default": choices[0], "help": f"how to print ({', '.join(choices)}; {choices[0]})"},
    )


LOOPS = Argument(
    ("--loops",),
    {"metavar": "DIR", "default": None, "help": "the loops folder (else [skene] loops_folder, else ./loops)"},
)
ACTOR = Argument(("--actor",), {"metavar": "NAME", "default": None, "help": "who does it, for the audit (else $USER)"})
PERSON = Argument(("--user",), {"metavar": "KEY", "required": True, "help": "the person's key"})
WHY = Argument(("--reason",), {"metavar": "TEXT", "default": "", "help": "why, for the audit (no addresses)"})
NO_SOURCE = ""
# Airflow's arguments have no `const`: None is the flag without a URI, and its absence is the empty text.
SOURCE = Argument(
    ("--source",),
    {
        "metavar": "URI",
        "nargs": "?",
        "default": NO_SOURCE,
        "help": "check the queries against this Postgres database; without URI: each loop's Airflow connection",
    },
)
LEDGER = Argument(
    ("--ledger",), {"metavar": "URI", "default": None, "help": "Postgres URI of the ledger (else Airflow's connection)"}
)
PEOPLE = Argument(
    ("--source",),
    {"metavar": "URI", "default": None, "help": "Postgres URI of the app (else each loop's Airflow connection)"},
)
_PLACES = LOOPS, PEOPLE, LEDGER
LOOP = Argument(("loop",), {"metavar": "LOOP", "help": "the loop's id: the stem of its file"})
CONTENT = (
    Argument(("--step",), {"metavar": "ID", "default": None, "help": "the step (the first that sends mail)"}),
    Argument(("--segment",), {"metavar": "NAME", "default": None, "help": "the segment (the first)"}),
    Argument(("--variant",), {"metavar": "NAME", "default": None, "help": "the variant (the first)"}),
    Argument(("--locale",), {"metavar": "TAG", "default": None, "help": "the person's language, such as pt-BR"}),
    Argument(
        ("--user",), {"metavar": "KEY", "default": None, "help": "a real person, as the loop's query returns them now"}
    ),
    Argument(
        ("--source",),
        {
            "metavar": "URI",
            "nargs": "?",
            "default": NO_SOURCE,
            "help": "a real person from this Postgres database; without URI: the loop's Airflow connection",
        },
    ),
)
"""Which mail of a loop, for whom: sample values unless a real person is asked for."""


def accepted(verb: Verb) -> tuple[Argument, ...]:
    """The verb's arguments and, unseen, whichever of the loops, the source and the ledger it has no use for.

    A script names the same three places to every verb.
    """
    own = {flag for argument in verb.arguments for flag in argument.flags}
    unseen = {"metavar": "PLACE", "nargs": "?", "default": None, "help": argparse.SUPPRESS}
    return (*verb.arguments, *(Argument(place.flags, unseen) for place in _PLACES if own.isdisjoint(place.flags)))
