"""What a deployment sets once: Airflow's ``[skene]`` section as one immutable value."""

from __future__ import annotations

from dataclasses import dataclass, field

from skene_airflow.nouns import Mode


@dataclass(frozen=True, slots=True)
class Settings:
    """The ``[skene]`` section. Empty strings mean unset; ``secret_keys``: the first signs, all verify."""

    loops_folder: str = ""
    ledger_conn_id: str = ""
    schema: str = "skene"
    auto_migrate: bool = True
    max_mode: Mode = Mode.LIVE
    redirect_to: str = ""
    from_email: str = ""
    base_url: str = ""
    postal_address: str = ""
    secret_keys: tuple[str, ...] = field(default=(), repr=False)
    retention_days: int = 30
