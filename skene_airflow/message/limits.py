"""How much one mail may cost, and the error for a person whose mail costs more."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from skene_airflow.errors import MissingVariable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

OUTPUT_CAP = 512 * 1024
"""Most bytes of UTF-8 in one part of a mail, and most characters in any value on the way there."""
ITEMS_CAP = 1000
"""Most items one `for` walks over."""
TOTAL_CAP = 20_000
"""Most items all `for` of one mail walk over together."""
SECONDS_CAP = 1.0
"""Most seconds of processor time that the `for` of one mail may take."""
INCLUDES_CAP = 64
"""Most files that one template is made of, each counted as often as it is included."""
TAGS_CAP = 2000
"""Most `{{ … }}` and `{% … %}` in one template, its includes counted in."""
DEPTH_CAP = 2
"""Most `for` inside each other."""
NESTING_CAP = 150
"""Most elements inside each other."""
INTEGER_BITS = 4096
SOURCE_CAP = 256 * 1024
"""Most bytes in a template file."""


class CannotRender(MissingVariable):
    """The mail cannot be made for this person: `name` says what is wrong, without any of the person's data.

    A child of MissingVariable, because it means the same for the run: this person is passed over, and
    nobody else is.
    """

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.args = (f"the mail cannot be made for this person: {name}",)


def capped(value: str) -> str:
    """Return the text if it is short enough to be part of a mail; else raise CannotRender."""
    if len(value) > OUTPUT_CAP:
        msg = "a value is too long"
        raise CannotRender(msg)
    return value


def fits(text: str) -> bool:
    """Tell whether a part of a mail is at most OUTPUT_CAP bytes long."""
    if len(text) * 4 <= OUTPUT_CAP:
        return True
    return len(text) <= OUTPUT_CAP and len(text.encode("utf-8", "surrogatepass")) <= OUTPUT_CAP


class Budget:
    """What the `for` of one mail may still cost.

    Items are counted, so that the same mail fails or succeeds on every machine; the clock, which counts this
    thread's own work alone, is for what an item's own length can make slow.
    """

    __slots__ = ("_items", "_until")

    def __init__(self) -> None:
        self._items = TOTAL_CAP
        self._until = 0.0

    def walk(self, found: Iterable[Any]) -> Items:
        """Return the items as a list that stops whoever walks over too much. Raises CannotRender."""
        if not self._until:
            self._until = time.thread_time() + SECONDS_CAP
        items = Items(found)
        items.budget = self
        self._items -= len(items)
        if len(items) > ITEMS_CAP or self._items < 0:
            msg = "a list is too long"
            raise CannotRender(msg)
        return items

    def check(self) -> None:
        """Raise CannotRender if the mail has taken too long."""
        if time.thread_time() > self._until:
            msg = "it takes too long"
            raise CannotRender(msg)


class Items(list[Any]):
    """What a `for` walks over, under a budget."""

    __slots__ = ("budget",)
    budget: Budget

    def __iter__(self) -> Iterator[Any]:
        for item in super().__iter__():
            self.budget.check()
            yield item
