"""What a deployment must have set before the first person is claimed for mail that leaves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from skene_airflow.errors import SettingsError
from skene_airflow.message.address import InvalidAddress, one_mailbox
from skene_airflow.nouns import Mode
from skene_airflow.stages.pace import mails_per_second, policy_for_doubt

if TYPE_CHECKING:
    from skene_airflow.channels.base import Channel
    from skene_airflow.stages.job import Job


def refuse_unready(job: Job, mode: Mode, channel: Channel) -> None:
    """Raise SettingsError, saying what to set, if this step's mail may not leave or could not be said no to."""
    settings = job.settings
    mails_per_second(channel)
    policy_for_doubt(channel)
    if mode is Mode.REDIRECT:
        _one("[skene] redirect_to (all mail of max_mode `redirect` goes there)", settings.redirect_to)
    _one(
        "The From address (`from:` in the loop's action, else `from_email` in the email connection's extra, else"
        " [skene] from_email)",
        job.email.from_ or channel.from_email or settings.from_email,
    )
    if job.email.reply_to:
        _one("The loop's `reply_to`", job.email.reply_to)
    if not channel.local and job.loop.class_ == "marketing":
        _way_to_say_no(job)


def _one(what: str, mailbox: str) -> None:
    if not mailbox:
        raise SettingsError(f"{what} is not set.")
    try:
        one_mailbox(mailbox)
    except InvalidAddress:
        raise SettingsError(f"{what} is not one address, such as Ada at Acme <ada@acme.example>.") from None


def _way_to_say_no(job: Job) -> None:
    settings = job.settings
    needed = {
        "base_url": settings.base_url,
        "postal_address": settings.postal_address,
        "secret_key": settings.secret_keys,
    }
    missing = [name for name, value in needed.items() if not value]
    if missing:
        variables = ", ".join(f"AIRFLOW__SKENE__{name.upper()}" for name in missing)
        raise SettingsError(
            f"Marketing mail needs a link to say no and a postal address: set [skene] {', '.join(missing)}"
            f" (in the environment: {variables})."
        )
