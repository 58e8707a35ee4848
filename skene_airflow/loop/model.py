"""The base of every model of the language: closed, strict, frozen; and unions told apart by ``type``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from pydantic import BaseModel, ConfigDict
from pydantic_core import PydanticCustomError

if TYPE_CHECKING:
    from collections.abc import Callable

# Marks the member of a union within pydantic's paths. No key of a file looks like it: NUL is refused while reading.
TAG: Final = "\x00"


class Model(BaseModel):
    """One map of the language: unknown keys are refused, nothing is converted silently, nothing changes."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, regex_engine="python-re")


def refuse(code: str, message: str, suggestion: str = "") -> PydanticCustomError:
    """A fault found by a validator; ``code`` is one of loop/codes.py."""
    # Both texts are filled in by name, since users' values may hold braces.
    return PydanticCustomError(code, "{message}", {"message": message, "suggestion": suggestion})


def by_type(default: str | None = None) -> Callable[[Any], str | None]:
    """A discriminator that reads ``type`` of a map; ``default`` where the key is missing."""

    def kind(value: Any) -> str | None:
        if isinstance(value, dict):
            word = value.get("type", default)
            return f"{TAG}{word}" if isinstance(word, str) else None
        return f"{TAG}{value.type}" if isinstance(value, Model) else None  # type: ignore[attr-defined]  # members have one

    return kind
