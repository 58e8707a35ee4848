"""`preview`: every mail of the folder on a page of this machine, reloading as you write."""

from __future__ import annotations

from typing import TYPE_CHECKING

from skene_airflow.cli.verb import LOOPS, NO_SOURCE, Argument, Verb

if TYPE_CHECKING:
    import argparse

HOST = "127.0.0.1"
PORT = 8026


def run(args: argparse.Namespace) -> int:
    """Serve until somebody ends it. Raises SettingsError for a folder or port that cannot be had."""
    import uvicorn

    from skene_airflow.cli.deployment import connector, settings
    from skene_airflow.cli.folder import loops_folder
    from skene_airflow.cli.serving import listening
    from skene_airflow.stages.look import site_of
    from skene_airflow.web.preview import preview_app
    from skene_airflow.web.showing import People

    root = loops_folder(args.loops).resolve()
    asked = args.source != NO_SOURCE or args.user is not None
    people = People(lambda conn_id: connector(args.source or None, conn_id), args.user) if asked else None
    app = preview_app(root, site_of(settings()), people)
    with listening(HOST, args.port) as listener:
        print(f"preview of {root}: http://{HOST}:{listener.getsockname()[1]}/ (Ctrl-C ends it)", flush=True)
        config = uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=1, lifespan="off", ws="none")
        uvicorn.Server(config).run(sockets=[listener])
    return 0


VERB = Verb(
    description="Serve a page, to this machine alone, that shows every loop, step, segment, variant and language: on a "
    "desktop and a phone, as plain text, with headers, size and what readers would stumble over. It reloads when a "
    "file is saved. The people are made up; with --source each query's first person is shown, with --user one of them.",
    run=run,
    arguments=(
        LOOPS,
        Argument(("--port",), {"type": int, "metavar": "N", "default": PORT, "help": f"the port ({PORT}; 0: any)"}),
        Argument(
            ("--user",), {"metavar": "KEY", "default": None, "help": "a real person, as the loops' queries return them"}
        ),
        Argument(
            ("--source",),
            {
                "metavar": "URI",
                "nargs": "?",
                "default": NO_SOURCE,
                "help": "real people from this Postgres database; without URI: each loop's Airflow connection",
            },
        ),
    ),
    epilog="examples:\n  skene-airflow preview\n  skene-airflow preview --loops loops --port 8080\n"
    "  skene-airflow preview --source postgresql://reader@db.example/app --user 42",
)
