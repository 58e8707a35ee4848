"""The decision: one SELECT over the staged candidates that says send or skip, and why. It writes nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from skene_airflow.audience.gates import ADDRESS, SPECIALS, first_reason
from skene_airflow.nouns import Mode

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

_BLOCK = 64  # the block size of SHA-256, in bytes
REDIRECTED = "redirect:"
"""Before the entry keys of redirected deliveries, so that they never count as somebody's real entry."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What the gates need to know of a step and its run."""

    loop_id: str
    step_id: str
    topic: str
    transactional: bool
    mode: Mode
    expires_at: datetime
    address_key: bytes
    required: Sequence[str] = ()
    types: Mapping[str, str] | None = None

    def params(self) -> dict[str, object]:
        """The values that the gates' expressions name."""
        key = self.address_key.ljust(_BLOCK, b"\0")
        types = self.types or {}
        return {
            "loop_id": self.loop_id,
            "step_id": self.step_id,
            "topic": self.topic,
            "transactional": self.transactional,
            "expires_at": self.expires_at,
            "address": ADDRESS,
            "entry_prefix": REDIRECTED if self.mode is Mode.REDIRECT else "",
            "inner": bytes(b ^ 0x36 for b in key),
            "outer": bytes(b ^ 0x5C for b in key),
            "required": list(self.required),
            "specials": list(SPECIALS),
            "special": [types.get(name) not in {"text", "character varying", "character"} for name in self.required],
        }


# HMAC-SHA256 (RFC 2104) from the one hash that PostgreSQL has built in.
ADDRESS_HMAC = (
    "sha256(%(outer)s::bytea || sha256(%(inner)s::bytea || convert_to(lower({address} COLLATE \"C\"), 'UTF8')))"
)

_DECISION = """
SELECT g.n, g.user_key, g.entry_key, g.address, g.address_hmac, g.timezone, g.locale, g.vars,
       'all'::text AS segment, NULL::text AS variant,
       CASE WHEN g.reason IS NULL THEN 'send' ELSE 'skip' END AS verdict, g.reason
FROM (
    SELECT j.*,
           CASE WHEN j.gate IS NOT NULL THEN j.gate
                WHEN j.n > min(j.n) FILTER (WHERE j.gate IS NULL) OVER (PARTITION BY j.address_hmac, j.entry_key)
                     OR EXISTS (SELECT FROM {schema}.deliveries o
                                WHERE o.address_hmac = j.address_hmac AND o.loop_id = %(loop_id)s
                                  AND o.step_id = %(step_id)s AND o.entry_key = j.entry_key
                                  AND o.user_key <> j.user_key AND o.status NOT IN ('expired', 'cancelled'))
                     THEN 'duplicate_address' END AS reason
    FROM (
        SELECT f.*, {first_reason} AS gate
        FROM (
            SELECT c.*, {hmac} AS address_hmac, d.status AS held_status
            FROM (
                SELECT s.n, s.user_key, %(entry_prefix)s || s.entry_key AS entry_key,
                       btrim(s.address, E' \\t\\r\\n') AS address, s.timezone, s.locale, s.vars,
                       CASE WHEN coalesce(s.user_key, '') = '' THEN 1
                            ELSE row_number() OVER (PARTITION BY s.user_key, s.entry_key ORDER BY s.n) END AS copy
                FROM {stage} s
            ) c
            LEFT JOIN {schema}.deliveries d
                   ON d.loop_id = %(loop_id)s AND d.step_id = %(step_id)s
                  AND d.user_key = c.user_key AND d.entry_key = c.entry_key
            WHERE c.copy = 1
        ) f
    ) j
) g
"""


def decision(schema: str, stage_table: str) -> str:
    """The decision over the rows of ``stage_table``; bind it with ``Rules.params()``."""
    text = _DECISION.replace("{first_reason}", first_reason())
    text = text.replace("{hmac}", ADDRESS_HMAC.replace("{address}", "c.address"))
    return text.replace("{stage}", f"{schema}.{stage_table}").replace("{schema}", schema)


def recheck(schema: str) -> str:
    """Why a claimed person may not be mailed after all: the expression over ``f`` asked at the freeze."""
    return first_reason(again=True).replace("{schema}", schema)
