"""Bodies of requests, with a limit."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.requests import Request


async def whole_body(request: Request, most: int) -> bytes | None:
    """The raw body of a request, or None as soon as it is longer than ``most`` bytes."""
    found = bytearray()
    async for chunk in request.stream():
        found += chunk
        if len(found) > most:
            return None
    return bytes(found)
