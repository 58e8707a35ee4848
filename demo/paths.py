"""Where the demo keeps its things: everything in one folder that git ignores."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
STATE = ROOT / ".demo"
POSTGRES = STATE / "postgres"
OUTBOX = STATE / "outbox"
LOGS = STATE / "logs"
ORDERS = ROOT / "demo" / "data" / "cdnow_orders.csv.gz"
DAGS = ROOT / "dags"
LOOPS = ROOT / "loops"
REFERENCE_LOOP = LOOPS / "re_engagement.yaml"
