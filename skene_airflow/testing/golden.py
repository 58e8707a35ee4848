"""Golden files for a user's own templates: the mail as it was approved, beside the test, in git."""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from skene_airflow.errors import LoopError, SettingsError
from skene_airflow.loop.load import load_loop
from skene_airflow.message.contents import contents
from skene_airflow.message.links import Signer
from skene_airflow.message.render import Renderer, Site
from skene_airflow.message.sample import sample_row
from skene_airflow.message.template import compile_blueprint

if TYPE_CHECKING:
    from collections.abc import Mapping

    from skene_airflow.loop.schema import Loop
    from skene_airflow.nouns import Message

AS_OF = datetime(2026, 1, 15, 9, tzinfo=UTC)
"""The moment that golden mails are made at, so that they come out the same on every day."""
SITE = Site(
    "https://acme.example/skene",
    "Acme Inc., 1 Example Street, Springfield",
    Signer(("golden",)),
    "Acme <hello@acme.example>",
)
"""What stands in golden mails for a deployment's own settings."""
UPDATE = "SKENE_GOLDEN"
"""Set this environment variable to `write` to approve the mails as they are now."""


def rendered(
    path: str | Path,
    user: Mapping[str, Any] | None = None,
    *,
    loops: str | Path | None = None,
    step: str | None = None,
    segment: str | None = None,
    variant: str | None = None,
    locale: str | None = None,
    timezone: str | None = None,
    site: Site = SITE,
    as_of: datetime = AS_OF,
) -> Message:
    """Return the mail of a loop file as it would arrive, without a database.

    ``user`` holds columns of the person; those that are not named get sample values, and None is NULL. ``loops`` is
    the loops folder (else the file's own). Step, segment and variant are the first there are unless named. Raises
    LoopError for a broken loop, SettingsError for a name that is not there, MissingVariable where no mail can be made.
    """
    found = load_loop(Path(path), root=Path(loops) if loops is not None else None)
    if isinstance(found, LoopError):
        raise found
    wanted = [
        (each_step, content)
        for each_step in found.steps
        for content in contents(found, each_step)
        if step in (None, each_step.id) and segment in (None, content.segment) and variant in (None, content.variant)
    ]
    if not wanted:
        raise SettingsError(f"there is no such step, segment and variant in {found.file}; there: {_there(found)}")
    chosen, content = wanted[0]
    blueprint = compile_blueprint(found, chosen, content)
    row = sample_row(blueprint, as_of, locale)
    row = replace(
        row,
        user={**row.user, **(user or {})},
        timezone=timezone,
        segment=content.segment,
        variant=content.variant,
    )
    return Renderer(blueprint, site).render(row)


def check_golden(message: Message, path: str | Path) -> None:
    """Compare a mail with `<path>.html` and `<path>.txt`; raise AssertionError that shows the first difference.

    With the environment variable SKENE_GOLDEN=write the files are written instead: read the difference in git.
    """
    base = Path(path)
    for ending, text in ((".html", message.html.rstrip("\n") + "\n"), (".txt", _text(message))):
        file = base.with_name(base.name + ending)
        if os.environ.get(UPDATE) == "write":
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
        elif not file.is_file():
            raise AssertionError(f"{file} is not there: run the test once with {UPDATE}=write, and read the file")
        elif (golden := file.read_text(encoding="utf-8")) != text:
            raise AssertionError(f"{file} differs{_difference(golden, text)}\nIf it is meant: {UPDATE}=write")


def _text(message: Message) -> str:
    head = {"From": message.sender, "Reply-To": message.reply_to, "Subject": message.subject}
    lines = [f"{name}: {value}" for name, value in head.items() if value]
    return "\n".join([*lines, "", message.text.rstrip("\n"), ""])


def _difference(golden: str, text: str) -> str:
    before, now = golden.split("\n"), text.split("\n")
    for number, (old, new) in enumerate(zip(before, now, strict=False), 1):
        if old != new:
            return f" in line {number}:\n- {old}\n+ {new}"
    return f": {len(before)} lines before, {len(now)} now"


def _there(loop: Loop) -> str:
    found = (
        "/".join(filter(None, (step.id, content.segment, content.variant)))
        for step in loop.steps
        for content in contents(loop, step)
    )
    return ", ".join(found)
