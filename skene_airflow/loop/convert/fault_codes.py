"""The codes of what a config file can have that is not data; the registry of loops goes on here."""

from __future__ import annotations

from typing import Final

NOT_TYPESCRIPT: Final = "SK601"
NO_LOOP: Final = "SK602"
NOT_A_LITERAL: Final = "SK603"
KEY_TWICE: Final = "SK604"
TEXT: Final = "SK605"

TITLES: Final[dict[str, str]] = {
    NOT_TYPESCRIPT: "The config file does not parse",
    NO_LOOP: "The config file exports no loop",
    NOT_A_LITERAL: "A value that is code, not data",
    KEY_TWICE: "A property is written twice",
    TEXT: "A string or number that cannot be read",
}
