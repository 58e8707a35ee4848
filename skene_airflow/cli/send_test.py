"""`send-test LOOP --to ADDRESS`: one mail through the loop's own connection. It claims nothing in the ledger."""

from __future__ import annotations

import sys
import uuid
from dataclasses import replace
from typing import TYPE_CHECKING

from skene_airflow.cli.verb import CONTENT, LOOP, LOOPS, Argument, Verb
from skene_airflow.nouns import PROVIDERS

if TYPE_CHECKING:
    import argparse

    from skene_airflow.nouns import Message
    from skene_airflow.settings import Settings

MARK = "[Test] "
"""What the subject of a test begins with."""
HEADER = ("X-Skene-Test", "yes")


def run(args: argparse.Namespace) -> int:
    """Send it; 1 if it cannot be made for this person. Raises LoopError and SettingsError, also for a refusal."""
    from skene_airflow.cli.deployment import channel, settings
    from skene_airflow.cli.folder import named
    from skene_airflow.cli.looking import about, source_of, wish_of
    from skene_airflow.errors import MissingVariable, SettingsError
    from skene_airflow.message.address import InvalidAddress
    from skene_airflow.nouns import Answer
    from skene_airflow.stages.look import choose, look, site_of

    deployment = settings()
    to = _recipient(args.to, deployment)
    loop = named(args.loop, args.loops)
    step, _ = choose(loop, wish_of(args))
    if step.action.type == "in_app":
        raise SettingsError(f"step '{step.id}' writes into the app and mails nobody: look at it with `render`")
    conn_id = f"{args.provider}_default" if args.provider else loop.email_connection(step)
    with channel(conn_id) as opened:
        try:
            seen = look(loop, wish_of(args), site_of(deployment, opened.from_email), source_of(args, loop))
        except (MissingVariable, InvalidAddress) as error:
            print(f"skene-airflow send-test: {about(error)}", file=sys.stderr)
            return 1
        if not seen.message.sender:
            raise SettingsError(
                "the From address is not set: write `from:` in the action, `from_email` in the email connection's "
                "extra, or set [skene] from_email"
            )
        result = opened.send(opened.freeze([marked(seen.message, to)]), f"sk/test/{uuid.uuid4()}")
    if result.answer is not Answer.ACCEPTED:
        raise SettingsError(f"the connection '{conn_id}' did not take the mail ({result.error}): {result.detail}")
    for remark in seen.remarks:
        print(f"{'warning' if remark.serious else 'note'}: {remark.message} [{remark.rule}]", file=sys.stderr)
    name = result.message_ids[0] if result.message_ids else None
    print(f"the connection '{conn_id}' took the test mail{f' as {name}' if name else ''}")
    return 0


def marked(message: Message, to: str) -> Message:
    """The message as a test to ``to``: marked in subject and header, and known to nothing that listens to providers."""
    from skene_airflow.message.address import SUBJECT_CAP, clean_line

    return replace(
        message,
        to=to,
        subject=clean_line(f"{MARK}{message.subject}", SUBJECT_CAP),
        message_key=uuid.uuid4().hex,
        headers=(*message.headers, HEADER),
        tags=(("sk_test", "yes"),),
    )


def _recipient(address: str, deployment: Settings) -> str:
    """Whom the deployment lets a test go to. Raises SettingsError."""
    from skene_airflow.errors import SettingsError
    from skene_airflow.message.address import InvalidAddress, one_address
    from skene_airflow.nouns import Mode

    if deployment.max_mode is Mode.SHADOW:
        raise SettingsError("[skene] max_mode is shadow: nothing leaves this deployment, no test either")
    if deployment.max_mode is Mode.REDIRECT:
        print("[skene] max_mode is redirect: the test goes to redirect_to", file=sys.stderr)
        address = deployment.redirect_to
    try:
        return one_address(address)
    except InvalidAddress:
        what = "redirect_to" if deployment.max_mode is Mode.REDIRECT else "--to"
        raise SettingsError(f"{what} is not one address: write name@company.com") from None


VERB = Verb(
    description="Send one mail of a loop to one address, through the loop's own email connection. Its subject begins "
    f"with `{MARK.strip()}` and it carries the header {HEADER[0]}; the ledger is neither read nor written, and the "
    "links to unsubscribe in it belong to nobody. It is made for a sample person unless a real one is asked for.",
    run=run,
    arguments=(
        LOOP,
        Argument(("--to",), {"metavar": "ADDRESS", "required": True, "help": "who gets it"}),
        Argument(
            ("--provider",),
            {
                "choices": PROVIDERS,
                "default": None,
                "help": "through the connection <provider>_default instead of the loop's",
            },
        ),
        *CONTENT,
        LOOPS,
    ),
    epilog="examples:\n  skene-airflow send-test re_engagement --to me@acme.example\n"
    "  skene-airflow send-test re_engagement --to me@acme.example --provider smtp --locale de\n"
    "exit codes: 0 the connection took it, 1 a fault, or no mail can be made for this person, "
    "2 wrong usage, or the mail was not taken",
)
