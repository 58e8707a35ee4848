"""Messages in the app: rows of ``inbox``, put there in the same transaction in which their batch is settled."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from skene_airflow.ledger.batches import Picked
    from skene_airflow.ledger.ledger import Cursor, Ledger
    from skene_airflow.nouns import Notice

PROVIDER: Final = "in_app"
"""What stands where mail has its provider's name."""
AT_ONCE: Final = 500
"""Messages in one transaction."""


def put(ledger: Ledger, cur: Cursor, picked: Picked, notices: Sequence[Notice]) -> int:
    """Put the messages of an open batch, locked by the caller's transaction, there. Returns how many there are."""
    facts = {
        "batch_id": picked.batch_id,
        "ids": [notice.delivery_id for notice in notices],
        "titles": [notice.title for notice in notices],
        "bodies": [notice.body for notice in notices],
        "links": [notice.link for notice in notices],
    }
    cur.execute(ledger.sql("inbox", "put"), facts)
    return cur.rowcount
