"""The decision: one SELECT over staged candidates that says send, hold out or skip, and why. It writes nothing."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from psycopg.types.json import Jsonb

from skene_airflow.audience.assignment import HOLDOUT, SAMPLE, VARIANT, bound, hash_sql, salt
from skene_airflow.audience.gates import ADDRESS, PLAIN_ADDRESS, SPECIALS, every_verdict, first_reason
from skene_airflow.nouns import Mode

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime, timedelta

    from skene_airflow.audience.zones import Zone
    from skene_airflow.loop.fields import RateValue
    from skene_airflow.nouns import Reason

_BLOCK = 64  # the block size of SHA-256, in bytes
REDIRECTED = "redirect:"
"""Before the entry keys of redirected deliveries, so that they never count as somebody's real entry."""
_WORDS = frozenset({"text", "character varying", "character"})


@dataclass(frozen=True, slots=True)
class Arm:
    """What one segment and variant of a step says: its template in the ledger, what it prints, its share."""

    segment: str
    variant: str | None = None
    template_no: int | None = None
    required: Sequence[str] = ()
    low: float = 0.0
    high: float = 1.0

    def plain(self) -> dict[str, Any]:
        """The same as plain data, as the ledger keeps it."""
        return {
            "segment": self.segment,
            "variant": self.variant,
            "template_no": self.template_no,
            "required": list(self.required),
            "low": self.low,
            "high": self.high,
        }

    @classmethod
    def read(cls, plain: Mapping[str, Any]) -> Arm:
        """What ``plain`` made, back from the ledger."""
        return cls(**{**plain, "low": float(plain["low"]), "high": float(plain["high"])})


@dataclass(frozen=True, slots=True)
class Rules:
    """What the gates need to know of a step and its run.

    ``loop_ids`` and ``step_ids`` are the names of both, today's first and then the earlier ones, the oldest last.
    ``now`` is the database's time. ``existing``: whoever qualifies is recorded and not mailed. ``elsewhere`` is what
    is true of people without a known time zone. ``held`` is the reason that a brake or a person gave for everybody.
    """

    loop_ids: Sequence[str]
    step_ids: Sequence[str]
    topic: str
    transactional: bool
    mode: Mode
    now: datetime
    expires_at: datetime
    address_key: bytes
    contents: Sequence[Arm] = (Arm("all"),)
    types: Mapping[str, str] = field(default_factory=dict)
    every: timedelta | None = None
    existing: bool = False
    consent: bool = False
    sample: float | None = None
    holdout: float | None = None
    cap: RateValue | None = None
    addressed: bool = True
    """Whether each person needs an address; who needs none is no duplicate by address."""
    several: bool = False
    """Whether a person may have several entries in one run (`entry.per`)."""
    goal_within: timedelta | None = None
    zones: Sequence[Zone] = ()
    elsewhere: Zone | None = None
    held: Reason | None = None
    brakes: Mapping[str, int] = field(default_factory=dict)
    """The most people whom each brake that is not released lets pass."""

    def params(self) -> dict[str, object]:
        """The values that the decision names."""
        return {**self._of_the_step(), **self._of_chance(), **self._of_zones()}

    def _of_the_step(self) -> dict[str, object]:
        key = self.address_key.ljust(_BLOCK, b"\0")
        return {
            "loop_ids": list(self.loop_ids),
            "step_ids": list(self.step_ids),
            "topic": self.topic,
            "transactional": self.transactional,
            "now": self.now,
            "expires_at": self.expires_at,
            "claims_as": (Mode.REDIRECT if self.mode is Mode.REDIRECT else Mode.LIVE).value,
            "entry_prefix": REDIRECTED if self.mode is Mode.REDIRECT else "",
            "every": self.every,
            "addressed": self.addressed,
            "several": self.several,
            "existing": self.existing,
            "consent": self.consent,
            "goal_within": self.goal_within,
            "cap": self.cap.count if self.cap else None,
            "cap_window": self.cap.window if self.cap else None,
            "held": self.held,
            "most": min(self.brakes.values(), default=None),
            "address": ADDRESS,
            "plain_address": PLAIN_ADDRESS,
            "inner": bytes(b ^ 0x36 for b in key),
            "outer": bytes(b ^ 0x5C for b in key),
            "specials": list(SPECIALS),
        }

    def _of_chance(self) -> dict[str, object]:
        oldest = self.loop_ids[-1]
        contents = [
            {
                **c.plain(),
                "special": [self.types.get(name) not in _WORDS for name in c.required],
                "low": rf"\x{bound(c.low).hex()}",
                "high": rf"\x{bound(c.high).hex()}" if c.high < 1 else None,
            }
            for c in self.contents
        ]
        return {
            "contents": Jsonb(contents),
            "varied": any(content.variant is not None for content in self.contents),
            "sample_below": None if self.sample is None else bound(self.sample),
            "holdout": self.holdout,
            "holdout_below": None if self.holdout is None else bound(self.holdout),
            "sample_salt": salt(oldest, SAMPLE),
            "holdout_salt": salt(oldest, HOLDOUT),
            "variant_salt": salt(oldest, VARIANT),
        }

    def _of_zones(self) -> dict[str, object]:
        return {
            "zoned": bool(self.zones),
            "zones": [zone.name for zone in self.zones],
            "quiet": [zone.quiet for zone in self.zones],
            "due": [zone.due for zone in self.zones],
            "quiet_elsewhere": self.elsewhere.quiet if self.elsewhere else False,
            "due_elsewhere": self.elsewhere.due if self.elsewhere else True,
        }


# HMAC-SHA256 (RFC 2104) from the one hash that PostgreSQL has built in.
ADDRESS_HMAC = (
    "sha256(%(outer)s::bytea || sha256(%(inner)s::bytea || convert_to(lower({address} COLLATE \"C\"), 'UTF8')))"
)

# OFFSET 0 keeps PostgreSQL from merging a level into the next, which would work out hashes and gates once more for
# each time that the next level names them. Only the first row of a candidate is judged; rows without a key are each
# a candidate of their own. What is twice in an audience is rare: it is found by hashing, and nothing is sorted.
_JUDGED = """
WITH contents AS MATERIALIZED (
    SELECT * FROM jsonb_to_recordset(%(contents)s::jsonb) AS c (segment text, variant text, template_no integer,
                                                       required text[], special boolean[], low bytea, high bytea)
), zones AS MATERIALIZED (
    SELECT * FROM unnest(%(zones)s::text[], %(quiet)s::boolean[], %(due)s::boolean[]) AS z (name, quiet, due)
), repeated AS MATERIALIZED (
    SELECT k.user_key, k.entry_key, min(k.n) AS n FROM {stage} k WHERE k.user_key <> ''
    GROUP BY k.user_key, k.entry_key HAVING count(*) > 1
), judged AS MATERIALIZED (
    SELECT f.n, f.user_key, f.entry_key, f.address_hmac, f.segment, f.variant, f.template_no, f.unknown_zone,
           {verdicts} AS gates, {first_reason} AS gate,
           NOT %(transactional)s::boolean AND %(holdout_below)s::bytea IS NOT NULL
               AND {holdout} < %(holdout_below)s::bytea AS hold_out
    FROM (
        SELECT p.*, c.variant, c.template_no, c.required, c.special,
               coalesce(z.quiet, %(quiet_elsewhere)s::boolean) AS quiet,
               p.in_time AND coalesce(z.due, %(due_elsewhere)s::boolean) AS due,
               %(zoned)s::boolean AND z.name IS NULL AS unknown_zone
        FROM (
            SELECT s.n, s.user_key, %(entry_prefix)s::text || s.entry_key AS entry_key, s.address,
                   {hmac} AS address_hmac, s.timezone, s.segment, s.consent, s.exited, s.goal_at,
                   s.due IS NOT FALSE AS in_time, s.vars, CASE WHEN %(varied)s::boolean THEN {variant} END AS part
            FROM (
                SELECT s.n, s.user_key, s.entry_key, nullif(btrim(s.address, E' \\t\\r\\n'), '') AS address,
                       s.timezone, s.segment, s.consent, s.exited, s.goal_at, s.due, s.vars
                FROM {stage} s LEFT JOIN repeated r ON r.user_key = s.user_key AND r.entry_key = s.entry_key
                WHERE (r.n < s.n) IS NOT TRUE
            ) s
            OFFSET 0
        ) p
        LEFT JOIN contents c ON c.segment = p.segment
             AND (c.variant IS NULL OR p.part >= c.low AND (p.part < c.high OR c.high IS NULL))
        LEFT JOIN zones z ON z.name = p.timezone
        OFFSET 0
    ) f
), firsts AS MATERIALIZED (
    SELECT j.address_hmac, j.entry_key, min(j.n) AS n FROM judged j WHERE j.gate IS NULL
    GROUP BY j.address_hmac, j.entry_key HAVING count(*) > 1
), single AS (
    SELECT j.*,
           CASE WHEN j.gate IS NOT NULL THEN j.gate{apart}
                WHEN NOT %(addressed)s::boolean THEN NULL
                WHEN j.n > first.n
                     OR EXISTS (SELECT FROM {schema}.deliveries o
                                WHERE o.address_hmac = j.address_hmac AND o.loop_id = ANY (%(loop_ids)s::text[])
                                  AND o.step_id = ANY (%(step_ids)s::text[])
                                  AND (o.entry_key = j.entry_key
                                       OR NOT %(several)s::boolean AND o.mode = %(claims_as)s
                                          AND o.queued_at > %(now)s::timestamptz - %(every)s::interval)
                                  AND o.user_key <> j.user_key AND o.status NOT IN ('expired', 'cancelled'))
                     THEN 'duplicate_address' END AS reason
    FROM judged j
    LEFT JOIN firsts first ON first.address_hmac = j.address_hmac AND first.entry_key = j.entry_key{people}
){cap}
SELECT r.n, r.user_key, r.entry_key, r.address_hmac, r.segment, r.variant, r.template_no, r.unknown_zone, r.gates,
       r.hold_out, CASE WHEN r.why IS NOT NULL THEN 'skip' WHEN r.hold_out THEN 'hold_out' ELSE 'send' END AS verdict,
       r.why AS reason
FROM (SELECT w.*, coalesce(w.reason, %(held)s::text{brake}) AS why FROM {last} w) r
"""

# Counted over the whole audience before anybody is claimed; who would be held out is not mailed, and is not counted.
_BRAKE = """,
                           CASE WHEN count(*) FILTER (WHERE w.reason IS NULL AND NOT w.hold_out) OVER ()
                                     > %(most)s::bigint THEN 'held' END"""

# Several entries of a person in one run would be closer than `every`: the first of them enters.
_APART = """
                WHEN j.n > person.n THEN 'already_entered'"""
_PEOPLE = """
    LEFT JOIN (SELECT k.user_key, min(k.n) AS n FROM judged k WHERE k.gate IS NULL
               GROUP BY k.user_key HAVING count(*) > 1) person ON person.user_key = j.user_key"""

# Over all loops, on the person or the address: what was sent in the window, what may still be on its way, and who
# comes before in this run. Counted person by person through two indexes: a join would stand or fall with an estimate.
_CAP = """, capped AS (
    SELECT w.n, w.user_key, w.entry_key, w.address_hmac, w.segment, w.variant, w.template_no, w.unknown_zone, w.gates,
           w.hold_out,
           CASE WHEN w.reason IS NULL AND {before} +
                     (SELECT count(*) FROM {schema}.deliveries d WHERE d.user_key = w.user_key AND {counts}) +
                     (SELECT count(*) FROM {schema}.deliveries d
                      WHERE d.address_hmac = w.address_hmac AND d.user_key <> w.user_key AND {counts})
                     >= %(cap)s::integer
                THEN 'frequency_capped' ELSE w.reason END AS reason
    FROM single w
)"""
_COUNTS = (
    "d.mode = 'live' AND (d.status IN ('queued', 'uncertain') OR d.sent_at > %(now)s::timestamptz"
    " - %(cap_window)s::interval)"
    " AND d.run_no NOT IN (SELECT r.run_no FROM {schema}.runs r WHERE r.transactional)"
)
_EARLIER = (
    "count(*) FILTER (WHERE w.reason IS NULL AND NOT w.hold_out) OVER (PARTITION BY {whom} ORDER BY w.n"
    " ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)"
)


def decision(schema: str, stage: str, rules: Rules, *, explain: bool = False) -> str:
    """The decision over the relation ``stage`` (a table, or a CTE of the caller's); bind it with ``rules.params()``.

    It has one row for each candidate: n, user_key, entry_key, address_hmac, segment, variant, template_no,
    unknown_zone, hold_out, verdict, reason, and with ``explain`` in gates what each gate says of the person, not the
    first only.
    """
    capped = rules.cap is not None and not rules.transactional
    text = _JUDGED.replace("{cap}", _CAP if capped else "").replace("{last}", "capped" if capped else "single")
    text = text.replace("{brake}", _BRAKE if rules.brakes else "")
    apart = rules.every is not None and rules.several
    text = text.replace("{apart}", _APART if apart else "").replace("{people}", _PEOPLE if apart else "")
    text = text.replace("{counts}", _COUNTS).replace("{before}", _before(rules))
    text = text.replace("{verdicts}", every_verdict() if explain else "NULL::jsonb")
    return _filled(text.replace("{first_reason}", first_reason()), schema, stage)


def _before(rules: Rules) -> str:
    """How many mails this run has for the person or the address before this one; with `every` a person has one."""
    if not rules.several:
        return "0"
    # Whoever has no address, where none is needed, shares it with nobody.
    mailbox = "w.address_hmac" if rules.addressed else "coalesce(w.address_hmac, convert_to(w.user_key, 'UTF8'))"
    address = _EARLIER.replace("{whom}", mailbox)
    if rules.every is not None:
        return address
    person = 'w.user_key COLLATE "C"'  # which sorts faster than any language does
    both = _EARLIER.replace("{whom}", f"{person}, {mailbox}")
    return f"{_EARLIER.replace('{whom}', person)} + {address} - {both}"


def _filled(text: str, schema: str, stage: str) -> str:
    parts = {
        "hmac": ADDRESS_HMAC.replace("{address}", "s.address"),
        "sample": hash_sql("%(sample_salt)s::text", "f.user_key"),
        "holdout": hash_sql("%(holdout_salt)s::text", "f.user_key"),
        "variant": hash_sql("%(variant_salt)s::text", "s.user_key"),
        "stage": stage,
        "schema": schema,
    }
    for name, part in parts.items():
        text = text.replace("{" + name + "}", part)
    return text


def recheck(schema: str) -> str:
    """Why a claimed person may not be mailed after all: the expression over ``f`` asked at the freeze."""
    return first_reason(again=True).replace("{schema}", schema)
