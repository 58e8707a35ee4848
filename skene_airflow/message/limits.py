"""How much one mail may cost, and the error for a person whose mail costs more."""

from __future__ import annotations

from skene_airflow.errors import MissingVariable

OUTPUT_CAP = 512 * 1024
"""Most bytes of UTF-8 in one part of a mail, and most characters in any value on the way there."""
ITEMS_CAP = 1000
"""Most items one `for` walks over."""
DEPTH_CAP = 2
"""Most `for` inside each other."""
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
