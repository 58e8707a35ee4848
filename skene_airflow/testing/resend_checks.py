"""Resend's validation of a request body, written from its documentation and apart from our own client."""

from __future__ import annotations

import re
from typing import Any

from skene_airflow.testing.resend_faults import Reply, refusal

BATCH_LIMIT = 100
_MAILBOX = re.compile(r"(?:[^<>\r\n]*<)?[!-;=?A-~]+@(?:[A-Za-z0-9-]+\.)+[A-Za-z0-9-]{2,}>?")
_TAG = re.compile(r"[A-Za-z0-9_-]{1,256}")


class RefusedError(Exception):
    """The body is refused with this answer."""

    def __init__(self, name: str, message: str, status: int = 422) -> None:
        super().__init__(name, message)
        self.name, self.message = name, message
        self.reply: Reply = refusal(status, name, message)


def check_batch(payload: Any) -> list[dict[str, Any]]:
    """The mails of a batch, not yet checked one by one. Raises RefusedError."""
    if not isinstance(payload, list) or not 1 <= len(payload) <= BATCH_LIMIT:
        raise RefusedError("validation_error", f"The body must be an array of 1 to {BATCH_LIMIT} emails.")
    for mail in payload:
        if isinstance(mail, dict) and "attachments" in mail:
            raise RefusedError("invalid_attachment", "Batches may not have attachments.")
    return payload


def check_mail(mail: Any) -> None:
    """Raise RefusedError if one mail would be refused."""
    if not isinstance(mail, dict):
        raise RefusedError("validation_error", "An email must be an object.")
    for name in ("from", "to", "subject"):
        if name not in mail and not (name != "to" and "template" in mail):
            raise RefusedError("missing_required_field", f"Missing `{name}` field.")
    if not any(mail.get(name) is not None for name in ("html", "text", "template")):
        raise RefusedError("missing_required_field", "Missing `html` or `text` field.")
    _check_texts(mail)
    _check_mailboxes(mail)
    _check_headers(mail.get("headers", {}))
    _check_tags(mail.get("tags", []))


def _check_texts(mail: dict[str, Any]) -> None:
    for name in ("from", "subject", "html", "text"):
        if name in mail and not isinstance(mail[name], str):
            raise RefusedError("validation_error", f"The `{name}` field must be a string.")


def _check_mailboxes(mail: dict[str, Any]) -> None:
    for name in ("from", "to", "cc", "bcc", "reply_to"):
        value = mail.get(name, [])
        boxes = [value] if isinstance(value, str) else value
        if not isinstance(boxes, list) or len(boxes) > 50 or (name == "to" and not boxes):
            raise RefusedError("validation_error", f"The `{name}` field must hold 1 to 50 addresses.")
        for box in boxes:
            if not isinstance(box, str) or not _is_mailbox(box):
                raise RefusedError(
                    "validation_error",
                    f"Invalid `{name}` field. Write `email@example.com` or `Name <email@example.com>`. Got: {box!r}",
                )


def _is_mailbox(text: str) -> bool:
    return _MAILBOX.fullmatch(text) is not None and ("<" in text) == (">" in text)


def _check_headers(headers: Any) -> None:
    if not isinstance(headers, dict) or not all(isinstance(value, str) for value in headers.values()):
        raise RefusedError("validation_error", "The `headers` field must be an object of strings.")
    if any(re.search("[\r\n\0]", name + value) for name, value in headers.items()):
        raise RefusedError("validation_error", "A header may not hold line breaks.")


def _check_tags(tags: Any) -> None:
    if not isinstance(tags, list):
        raise RefusedError("validation_error", "The `tags` field must be an array.")
    for tag in tags:
        parts = [tag.get("name"), tag.get("value", "_")] if isinstance(tag, dict) else [None]
        if not all(isinstance(part, str) and _TAG.fullmatch(part) for part in parts):
            raise RefusedError(
                "validation_error", "Tags may only hold ASCII letters, numbers, underscores and dashes, up to 256."
            )
