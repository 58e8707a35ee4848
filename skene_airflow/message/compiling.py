"""What mails and messages in the app share on the way from a loop's words to a blueprint: keys, columns, faults."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from jinja2 import TemplateSyntaxError

from skene_airflow.message.codes import Code
from skene_airflow.message.environment import sandbox
from skene_airflow.message.scope import BUILT_IN, Reader, Uses
from skene_airflow.message.version import sentence

if TYPE_CHECKING:
    from collections.abc import Mapping

    from skene_airflow.loop.schema import Loop, Step
    from skene_airflow.message.contents import Content
    from skene_airflow.nouns import Fault

_KEY = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_WORDS = frozenset({"and", "or", "not", "if", "else", "in", "is", "true", "false", "none", "True", "False", "None"})


@dataclass(slots=True)
class Compiler:
    """One content on its way to a blueprint; ``faults`` gathers what is wrong.

    ``checking``: the faults are all that is wanted, the blueprint is never rendered.
    """

    loop: Loop
    step: Step
    content: Content
    checking: bool = False
    faults: list[Fault] = field(default_factory=list)
    keys: dict[str, frozenset[str]] = field(default_factory=dict)
    key_columns: dict[str, frozenset[str]] = field(default_factory=dict)
    over: Uses = field(default_factory=Uses)

    def fault(self, where: str, code: Code, message: str, hint: str = "") -> None:
        """Note a fault at a path of the loop."""
        self.faults.append(self.loop.fault(where, code.value, message, hint))

    def personalization(self, values: Mapping[str, object]) -> None:
        """Read the keys that the action gives, and which columns stand behind each."""
        for key, value in values.items():
            where = self.content.path(f"personalization.{key}")
            if not _KEY.fullmatch(key) or key in BUILT_IN or key in _WORDS:
                hint = "begin with a letter, use letters, digits and `_`, and none of " + ", ".join(sorted(BUILT_IN))
                self.fault(where, Code.BAD_KEY, f"'{key}' cannot be a name in a template", hint)
                continue
            uses = self.value(value, where, Reader({}, frozenset({"user"}))) if isinstance(value, str) else Uses()
            self.keys[key], self.key_columns[key] = frozenset(uses.required), frozenset(uses.columns)

    def value(self, value: str, where: str, reader: Reader) -> Uses:
        """What a text of the loop uses; whatever is wrong with it becomes a fault."""
        environment = sandbox(escape=False)
        try:
            uses = reader.read(environment.parse(value))
            if not uses.problems:
                environment.check(value)
        except TemplateSyntaxError as error:
            self.fault(where, Code.SYNTAX, sentence(error), "mend the Jinja")
            return Uses()
        for problem in uses.problems:
            self.fault(where, problem.code, problem.message, problem.suggestion)
        return uses

    def spoken(self, text: str, key: str, scope: frozenset[str] = BUILT_IN) -> None:
        """Take what a text of the action itself uses."""
        uses = self.value(text, self.content.path(key), Reader(self.keys, scope))
        self.over.names |= uses.names
        self.over.columns |= uses.columns
        self.over.required |= uses.required

    def columns(self, uses: Uses) -> frozenset[str]:
        """Return the columns that may be read: a person's other values need not be kept."""
        used = (self.key_columns[name] for name in uses.names if name in self.key_columns)
        return frozenset(uses.columns).union(*used)

    @property
    def timezone(self) -> str:
        """The zone of people who have none."""
        return self.loop.zone_of(self.step) or "UTC"
