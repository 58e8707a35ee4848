"""End what the demo started and remove its folder."""

from __future__ import annotations

import shutil
import sys

from demo import postgres, processes
from demo.paths import STATE


def main() -> int:
    """Stop the Airflow components and the database, then remove everything the demo wrote."""
    processes.stop_leftovers()
    postgres.stop()
    shutil.rmtree(STATE, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
