"""The gates: one ordered list, each a named SQL expression over a candidate's facts, with the reason it gives.

Facts stand in relation ``f``: the candidate, its address's HMAC, and ``held_status``, the status of the delivery that
already has this entry (NULL if none). The first gate whose expression is true gives the reason. The same expressions
judge the audience and, where ``again`` is set, whoever is about to be frozen into a batch.
"""

from __future__ import annotations

from dataclasses import dataclass

from skene_airflow.nouns import Reason

ADDRESS = (
    r"^[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*"
    r"@([[:alnum:]]([[:alnum:]-]{0,61}[[:alnum:]])?\.)+(?![0-9]+$)[[:alnum:]]([[:alnum:]-]{0,61}[[:alnum:]])?$"
)
"""One addr-spec as PostgreSQL's regular expressions say it: a dot-atom, @, and a domain (international ones too)."""

SPECIALS = ("NaN", "Infinity", "-Infinity", "infinity", "-infinity")
"""How jsonb writes numbers and times that cannot be printed; for columns of text these are ordinary words."""


@dataclass(frozen=True, slots=True)
class Gate:
    """A rule that may skip a candidate. ``again``: asked once more when the batch is frozen."""

    reason: Reason
    skips: str
    again: bool = False


def _listed(entry: str) -> str:
    # Two simple EXISTS instead of one with OR: PostgreSQL hashes each of them for a large audience, and
    # looks each up in its index for the hundred people of a batch.
    one = "EXISTS (SELECT FROM {schema}.suppressions s WHERE s.%s = f.%s AND %s)"
    return " OR ".join(one % (column, column, entry) for column in ("address_hmac", "user_key"))


_MAIL = "(s.scope = 'all' OR NOT %(transactional)s AND s.scope IN ('marketing', 'topic:' || %(topic)s))"

GATES: tuple[Gate, ...] = (
    Gate(Reason.MISSING_KEY, "coalesce(f.user_key, '') = ''"),
    Gate(Reason.ALREADY_ENTERED, "f.held_status NOT IN ('expired', 'cancelled')"),
    Gate(Reason.EXPIRED, "%(expires_at)s < clock_timestamp()"),
    Gate(
        Reason.INVALID_ADDRESS,
        "f.address IS NULL OR length(f.address) > 254 OR position('@' IN f.address) > 65 OR f.address !~ %(address)s",
    ),
    Gate(Reason.SUPPRESSED, _listed(f"s.reason <> 'unsubscribed' AND {_MAIL}"), again=True),
    Gate(
        Reason.UNSUBSCRIBED,
        _listed(f"s.reason = 'unsubscribed' AND NOT %(transactional)s AND {_MAIL}"),
        again=True,
    ),
    Gate(
        Reason.MISSING_VARIABLE,
        "EXISTS (SELECT FROM unnest(%(required)s::text[], %(special)s::boolean[]) AS r (name, special)"
        " WHERE f.vars ->> r.name IS NULL OR r.special AND f.vars ->> r.name = ANY (%(specials)s::text[]))",
    ),
    Gate(
        Reason.STOPPED,
        "EXISTS (SELECT FROM {schema}.stops t WHERE t.loop_id IN ('*', %(loop_id)s))",
        again=True,
    ),
)
"""`duplicate_address` comes after all of these: it looks at the people whom they let pass."""


def first_reason(*, again: bool = False) -> str:
    """The CASE expression over ``f`` that gives a candidate's reason, or NULL if every gate lets it pass."""
    whens = [f"WHEN {gate.skips}\n     THEN '{gate.reason}'" for gate in GATES if gate.again or not again]
    return "CASE " + "\n     ".join(whens) + " END"
