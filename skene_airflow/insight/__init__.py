"""Did it work: what the ledger knows of goals, counted and compared."""
