"""What can go wrong between a client and Resend, by name."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Literal

Delivery = Literal["whole", "none", "late", "cut"]


@dataclass(frozen=True, slots=True)
class Reply:
    """An HTTP answer, and whether it arrives: whole, not at all, too late, or cut in the middle."""

    status: int
    content: bytes
    headers: tuple[tuple[str, str], ...] = (("Content-Type", "application/json"),)
    delivery: Delivery = "whole"


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing going wrong. ``accepts``: whether the messages were taken nevertheless."""

    meaning: str
    reply: Reply
    accepts: bool = False


def json_reply(status: int, content: object, headers: tuple[tuple[str, str], ...] = ()) -> Reply:
    """An answer with a JSON body."""
    return Reply(status, json.dumps(content).encode(), (("Content-Type", "application/json"), *headers))


def refusal(status: int, name: str, message: str, headers: tuple[tuple[str, str], ...] = ()) -> Reply:
    """An error as Resend words it."""
    return json_reply(status, {"statusCode": status, "name": name, "message": message}, headers)


_SILENCE = Reply(0, b"", delivery="none")
_SOON = (("retry-after", "1"), ("ratelimit-limit", "10"), ("ratelimit-remaining", "0"), ("ratelimit-reset", "1"))
_HTML = (("Content-Type", "text/html"),)

FAULTS: dict[str, Fault] = {
    # The messages were not taken.
    "rate_limit": Fault("429, wait a second", refusal(429, "rate_limit_exceeded", "Too many requests.", _SOON)),
    "quota": Fault("429 until midnight", refusal(429, "daily_quota_exceeded", "The daily quota is used up.")),
    "monthly_quota": Fault("429 until next month", refusal(429, "monthly_quota_exceeded", "The quota is used up.")),
    "bad_key": Fault("403 for every call", refusal(403, "invalid_api_key", "This API key is not valid.")),
    "restricted_key": Fault("401 for every call", refusal(401, "restricted_api_key", "This key may only send.")),
    "unverified_domain": Fault("403, a From nobody verified", refusal(403, "validation_error", "Verify the domain.")),
    "concurrent": Fault(
        "409, the same key is in use", refusal(409, "concurrent_idempotent_requests", "Still in progress.")
    ),
    "error_before": Fault("500, nothing taken", refusal(500, "application_error", "Something went wrong.")),
    "unavailable": Fault("503, nothing taken", refusal(503, "service_unavailable", "Try again later.")),
    "gateway": Fault("502 of a proxy, nothing taken", Reply(502, b"<html>Bad gateway</html>", _HTML)),
    "redirect": Fault("308 to elsewhere", Reply(308, b"", (("Location", "https://acme.example/"),))),
    "drop_before": Fault("the line breaks, nothing taken", _SILENCE),
    "timeout": Fault("no answer in time, nothing taken", Reply(0, b"", delivery="late")),
    # The messages were taken, and the client cannot know it.
    "error_after": Fault("500, yet taken", refusal(500, "application_error", "Something went wrong."), accepts=True),
    "drop_after": Fault("taken, then the line breaks", _SILENCE, accepts=True),
    "timeout_after": Fault("taken, but no answer in time", Reply(0, b"", delivery="late"), accepts=True),
    "malformed": Fault("taken, 200 that is not JSON", Reply(200, b'{"data":[{"id":', _HTML), accepts=True),
    "truncated": Fault("taken, half a 200", Reply(200, b'{"data":[{"id":"', delivery="cut"), accepts=True),
    "short": Fault("taken, 200 with no ids", json_reply(200, {"data": []}), accepts=True),
}
"""Every fault that a plan may name."""
