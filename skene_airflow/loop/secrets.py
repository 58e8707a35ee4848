"""Secrets that do not belong in a loop file, found by their published shapes and never repeated."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Final

from skene_airflow.loop import codes
from skene_airflow.nouns import Fault

if TYPE_CHECKING:
    from collections.abc import Iterator

    from skene_airflow.loop.nodes import Source

_MOST: Final = 50  # more of them in one file help nobody
_SHAPES: Final = re.compile(
    r"""
    (?=re_|whsec_|SG\.|AKIA|[rs]k_|eyJ|-----B|://)(?:
    (?P<a_Resend_API_key>\bre_(?:[A-Za-z0-9]{6,12}_[A-Za-z0-9]{16,}|(?=[A-Za-z_]*[0-9])(?=[a-z0-9_]*[A-Z])[A-Za-z0-9_]{16,}|[0-9]{8,})\b)
    |(?P<a_webhook_secret>\bwhsec_[A-Za-z0-9+/=_-]{8,})
    |(?P<a_SendGrid_API_key>\bSG\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,})
    |(?P<an_AWS_key>\bAKIA[0-9A-Z]{16}\b)
    |(?P<a_Stripe_key>\b[rs]k_(?:live|test)_[A-Za-z0-9]{10,})
    |(?P<a_token>\beyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{5,})
    |(?P<a_private_key>-----BEGIN[ A-Z]{0,30}PRIVATE\ KEY-----)
    |(?P<a_password>://[^\s:@/]{1,100}:[^\s:@/{}]{1,100}@)
    )""",
    re.VERBOSE,
)


def find_secrets(source: Source) -> Iterator[Fault]:
    """One fault for each secret in the text, comments included."""
    line, at = 1, 0
    for found in islice(_SHAPES.finditer(source.text), _MOST):
        line, at = line + source.text.count("\n", at, found.start()), found.start()
        column = at - source.text.rfind("\n", 0, at)
        what = str(found.lastgroup).replace("_", " ")
        hint = "delete it, revoke it, and keep the new one in an Airflow connection"
        yield Fault(source.file, line, column, "", codes.SECRET, f"{what} stands in the file", hint)


def redact(fault: Fault) -> Fault:
    """The same fault without a secret in its words."""
    return replace(fault, message=_SHAPES.sub("***", fault.message), suggestion=_SHAPES.sub("***", fault.suggestion))
