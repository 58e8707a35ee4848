"""The gates: one ordered list, each a named SQL expression over a candidate's facts, with the reason it gives.

Facts stand in relation ``f``: the staged candidate, its address's HMAC, its arm and what its time zone says. The first
gate whose expression is true gives the reason. The same expressions judge the audience and, where ``again`` is set,
whoever is about to be frozen into a batch. What a loop does not ask for is a parameter that PostgreSQL folds away.
"""

from __future__ import annotations

from dataclasses import dataclass

from skene_airflow.nouns import Reason

ADDRESS = (
    r"^[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*"
    r"@([[:alnum:]]([[:alnum:]-]{0,61}[[:alnum:]])?\.)+(?![0-9]+$)[[:alnum:]]([[:alnum:]-]{0,61}[[:alnum:]])?$"
)
"""One addr-spec as PostgreSQL's regular expressions say it: a dot-atom, @, and a domain (international ones too)."""

PLAIN_ADDRESS = r"^[A-Za-z0-9_+-]+(\.[A-Za-z0-9_+-]+)*@([A-Za-z0-9]+(-[A-Za-z0-9]+)*\.)+[A-Za-z]{2,}$"
"""What most addresses of at most 64 characters look like, and nothing that ADDRESS refuses: forty times as fast."""

SPECIALS = ("NaN", "Infinity", "-Infinity", "infinity", "-infinity")
"""How jsonb writes numbers and times that cannot be printed; for columns of text these are ordinary words."""


@dataclass(frozen=True, slots=True)
class Gate:
    """A rule that may skip a candidate, and in words what it asks.

    ``again``: asked once more when the batch is frozen. ``excuses`` transactional mail: the gate lets it pass.
    """

    reason: Reason
    says: str
    skips: str
    again: bool = False
    excuses: bool = False

    @property
    def sql(self) -> str:
        """The expression that is true for whom the gate skips."""
        return f"NOT %(transactional)s::boolean AND ({self.skips})" if self.excuses else self.skips


def _listed(entry: str) -> str:
    # Two simple EXISTS instead of one with OR: PostgreSQL hashes each of them for a large audience, and
    # looks each up in its index for the hundred people of a batch.
    one = (
        "EXISTS (SELECT FROM {schema}.suppressions s WHERE s.%s = f.%s AND %s"
        " AND (s.expires_at IS NULL OR s.expires_at > statement_timestamp()))"
    )
    return " OR ".join(one % (column, column, entry) for column in ("address_hmac", "user_key"))


_OURS = "d.loop_id = ANY (%(loop_ids)s::text[]) AND d.step_id = ANY (%(step_ids)s::text[]) AND d.user_key = f.user_key"
_HOLDS = "d.status NOT IN ('expired', 'cancelled')"
_ENTERED = f"EXISTS (SELECT FROM {{schema}}.deliveries d WHERE {_OURS} AND d.entry_key = f.entry_key AND {_HOLDS})"
_TOO_SOON = (
    "%(every)s::interval IS NOT NULL AND EXISTS (SELECT FROM {schema}.deliveries d"
    f" WHERE {_OURS} AND d.mode = %(claims_as)s AND d.queued_at > %(now)s::timestamptz - %(every)s::interval"
    f" AND {_HOLDS})"
)
# Whoever reached the goal long ago may enter: it counts for as long as the goal does, or since the entry was claimed.
_REACHED = (
    "f.goal_at > %(now)s::timestamptz - %(goal_within)s::interval OR f.goal_at IS NOT NULL AND EXISTS"
    " (SELECT FROM {schema}.deliveries d WHERE d.loop_id = ANY (%(loop_ids)s::text[]) AND d.user_key = f.user_key"
    f" AND d.entry_key = f.entry_key AND d.queued_at <= f.goal_at AND {_HOLDS})"
)
# A bounce tells of a mailbox, and a message in the app needs none.
_REACHES = "(%(addressed)s OR s.reason <> 'bounced')"
_SAID_NO = "(s.scope IN ('all', 'marketing') OR s.scope = 'topic:' || %(topic)s::text)"
_LISTED = f"(s.scope = 'all' OR s.reason IN ('bounced', 'complained') OR {_SAID_NO} AND NOT %(transactional)s::boolean)"

GATES: tuple[Gate, ...] = (
    Gate(
        Reason.MISSING_KEY,
        "the row has no person's key, or one of more than 1,000 bytes",
        "coalesce(f.user_key, '') = '' OR octet_length(f.user_key) > 1000",
    ),
    Gate(
        Reason.ALREADY_ENTERED,
        "the person has this entry already, or entered less than `every` ago",
        f"{_ENTERED} OR {_TOO_SOON}",
    ),
    Gate(
        Reason.NOT_DUE,
        "the local time of the schedule is not in this run's hour, or the mail of the step before is not old enough,"
        " too old, or was never sent",
        "NOT f.due",
    ),
    Gate(
        Reason.STOPPED,
        "the loop is stopped",
        "EXISTS (SELECT FROM {schema}.stops t WHERE t.loop_id = '*' OR t.loop_id = ANY (%(loop_ids)s::text[]))",
        again=True,
    ),
    Gate(
        Reason.EXPIRED,
        "the run is later than `expires_after`",
        "%(expires_at)s::timestamptz < %(now)s::timestamptz",
    ),
    Gate(
        Reason.EXISTING,
        "the person qualified when the loop, or its rule of entry, was new",
        "%(existing)s::boolean",
    ),
    Gate(Reason.EXITED, "the person has left by `exit`", f"f.exited OR {_REACHED}"),
    Gate(Reason.NO_SEGMENT, "no segment fits", "f.segment IS NULL"),
    Gate(
        Reason.NO_CONSENT,
        "the column of `consent` is not true",
        "%(consent)s::boolean AND f.consent IS NOT TRUE",
        excuses=True,
    ),
    Gate(
        Reason.NOT_SAMPLED,
        "the person is outside `sample`",
        "%(sample_below)s::bytea IS NOT NULL AND {sample} >= %(sample_below)s::bytea",
        excuses=True,
    ),
    Gate(
        Reason.INVALID_ADDRESS,
        "the address is not exactly one (a message in the app needs none)",
        "%(addressed)s::boolean AND (f.address IS NULL"
        " OR NOT (length(f.address) <= 64 AND f.address ~ %(plain_address)s::text)"
        " AND (length(f.address) > 254 OR position('@' IN f.address) > 65 OR f.address !~ %(address)s::text))",
    ),
    Gate(
        Reason.SUPPRESSED,
        "the person or address must not be mailed",
        _listed(f"s.reason <> 'unsubscribed' AND {_REACHES} AND {_LISTED}"),
        again=True,
    ),
    Gate(
        Reason.UNSUBSCRIBED,
        "the person said no to this topic, or to all",
        _listed(f"s.reason = 'unsubscribed' AND {_SAID_NO}"),
        again=True,
        excuses=True,
    ),
    Gate(
        Reason.MISSING_VARIABLE,
        "a value that the mail certainly prints is missing",
        "EXISTS (SELECT FROM unnest(f.required, f.special) AS r (name, special)"
        " WHERE f.vars ->> r.name IS NULL OR r.special AND f.vars ->> r.name = ANY (%(specials)s::text[]))",
    ),
    Gate(Reason.QUIET_HOURS, "it is a quiet hour where the person is", "f.quiet", excuses=True),
)
"""These look at one person each. Behind them come, over those who are left: `duplicate_address`,
`frequency_capped`, and what a person decides about the whole run: `held` and `not_approved`."""


def first_reason(*, again: bool = False) -> str:
    """The CASE expression over ``f`` that gives a candidate's reason, or NULL if every gate lets it pass."""
    whens = [f"WHEN {gate.sql}\n     THEN '{gate.reason}'" for gate in GATES if gate.again or not again]
    return "CASE " + "\n     ".join(whens) + " END"


def every_verdict() -> str:
    """An expression over ``f``: an object that tells of each gate whether it skips the candidate."""
    pairs = [f"'{gate.reason}', coalesce({gate.sql}, false)" for gate in GATES]
    return "jsonb_build_object(" + ",\n     ".join(pairs) + ")"
