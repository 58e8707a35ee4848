"""What happened: the only writer of the ledger, and the only transactions."""

from skene_airflow.ledger.ledger import Ledger

__all__ = ["Ledger"]
