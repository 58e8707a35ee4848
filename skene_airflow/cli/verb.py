"""What a verb is: its words, its arguments and one function. The same for our own command and for Airflow's."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import argparse
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


LEDGER = Argument(
    ("--ledger",), {"metavar": "URI", "default": None, "help": "Postgres URI of the ledger (else Airflow's connection)"}
)
