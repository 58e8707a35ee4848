"""What `render`, `preview` and `send-test` share: whose data they may read, and which mail is meant."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from skene_airflow.cli.verb import NO_SOURCE

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    import psycopg

    from skene_airflow.loop.schema import Loop
    from skene_airflow.stages.look import Wish


def wish_of(args: argparse.Namespace) -> Wish:
    """What the arguments ask for."""
    from skene_airflow.stages.look import Wish

    return Wish(args.step, args.segment, args.variant, args.locale, args.user)


def source_of(args: argparse.Namespace, loop: Loop) -> Callable[[], psycopg.Connection[Any]] | None:
    """How to reach a real person; None unless somebody asked for one with --source or --user."""
    from skene_airflow.cli.deployment import connector

    if args.source == NO_SOURCE and args.user is None:
        return None
    return connector(args.source or None, loop.connections.source)


def about(error: Exception) -> str:
    """Why no mail can be made for a person, and what to do."""
    return f"no mail can be made for this person: {error}; in a run they are passed over, and everybody else is mailed"
