"""``python -m demo.sql "SELECT …"``: ask the demo's database, without a client to install."""

from __future__ import annotations

import sys

import psycopg

from demo import postgres


def main() -> int:
    """Print the rows of the query given on the command line, tab-separated."""
    if len(sys.argv) != 2:
        sys.exit('usage: python -m demo.sql "SELECT ..."')
    if not postgres.running():
        sys.exit("The demo's database does not run; `make demo` starts it.")
    try:
        with psycopg.connect(postgres.dsn(), autocommit=True) as conn:
            cursor = conn.execute(sys.argv[1])
            if cursor.description:
                print("\t".join(column.name for column in cursor.description))
                for row in cursor:
                    print("\t".join("" if value is None else str(value) for value in row))
    except psycopg.Error as error:
        sys.exit(str(error).strip())
    return 0


if __name__ == "__main__":
    sys.exit(main())
