"""The page of `docs/reference` about what a provider's answer means, made from the channels' own tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from skene_airflow.channels import CHANNELS
from skene_airflow.nouns import Answer

if TYPE_CHECKING:
    from collections.abc import Container

    from skene_airflow.channels import Channel, Rule

_CODES: Final = range(1000)
_HEAD: Final = """\
# Channels: what each answer of a provider means

Made from the channels' own tables by a test; do not edit. A provider's answer to one call is looked up from the top:
the first line that fits counts, and the last line fits everything.

## What happens then

| answer | means | the batch |
|---|---|---|
"""
_ANSWERS: Final[dict[Answer, tuple[str, str]]] = {
    Answer.ACCEPTED: ("the provider took every message", "its rows become `sent`, with the provider's ids"),
    Answer.LATER: (
        "a definite no, for now",
        "its rows stay `queued`; the same bytes and key again, after `Retry-After` or a pause that grows",
    ),
    Answer.DOUBT: (
        "nobody knows",
        "the same bytes and key until the window closes, then (without a window: at once) `uncertain`, see below",
    ),
    Answer.BUSY: ("the provider still works on an earlier call with this key", "in doubt: the same key again, later"),
    Answer.MISMATCH: ("the key was used with another body, which may have been taken", "`uncertain`; never a new key"),
    Answer.BAD_LOT: (
        "a definite no because of what is in it",
        "cut in two, with new keys, until the message that is refused is alone: that row becomes `failed`",
    ),
    Answer.ACCOUNT: (
        "a definite no to everything this connection sends",
        "its rows stay `queued`; the task fails at once and without a retry, and says what to mend",
    ),
}
_DOUBT: Final = """

What comes of `uncertain` is the connection's extra of that name: `hold` (a person decides, the default), `assume_sent`
(never twice, perhaps not at all) or `resend` (perhaps twice, never lost; at most four times).

"""
_NOTES: Final[dict[str, str]] = {
    "resend": "*What was said* is Resend's error name; `connect`: no connection came to be; `ids`: one id for each "
    "message. 5xx may come after the messages were taken.",
    "smtp": "*What was said* is the step that the reply answers. Before the final dot (`dot`) nothing was taken, "
    "whatever breaks; after it only a plain answer tells. *None*: the line broke.",
    "outbox": "*What was said* is the step of writing files. The same batch again writes the same files again.",
}


def channels_page() -> str:
    """What each answer means, and every line of every channel's table."""
    answers = "\n".join(f"| `{answer}` | {means} | {then} |" for answer, (means, then) in _ANSWERS.items())
    return _HEAD + answers + _DOUBT + "\n\n".join(_section(channel) for channel in CHANNELS.values()) + "\n"


def _section(channel: type[Channel]) -> str:
    hours = None if channel.window is None else round(channel.window.total_seconds() / 3600)
    window = f"the same key is safe for {hours:,} hours" if hours else "it cannot be asked again (no window)"
    head = f"## {channel.name}\n\nAt most {channel.batch_size} in one call; {window}. {_NOTES[channel.name]}\n\n"
    top = ["| reply code | what was said | answer | error class |", "|---|---|---|---|"]
    return head + "\n".join([*top, *_rows(channel)])


def _rows(channel: type[Channel]) -> list[str]:
    return [_row(rule) for rule in channel.table]


def _row(rule: Rule) -> str:
    said = ", ".join(f"`{word}`" if word else "no name" for word in rule.said) or "any"
    error = f"`{rule.error}`" if rule.error else "the provider's own"
    advice = f": {rule.advice}" if rule.advice else ""
    return f"| {_codes(rule.codes)} | {said} | `{rule.answer}` | {error}{advice} |"


def _codes(codes: Container[int]) -> str:
    found = [code for code in _CODES if code in codes]
    if len(found) == len(_CODES):
        return "any"
    spans: list[list[int]] = []
    for code in found:
        if spans and code == spans[-1][1] + 1:
            spans[-1][1] = code
        else:
            spans.append([code, code])
    texts = (f"{first}" if first == last else f"{first}–{last}" for first, last in spans)
    return ", ".join("none" if text == "0" else text for text in texts)
