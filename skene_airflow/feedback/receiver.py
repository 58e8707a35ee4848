"""What every receiver of a provider's events can do. A second provider is one more file, and a line in RECEIVERS."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from skene_airflow.ledger.events import Told

MOST = 262_144
"""Bytes of an event that are read; what is longer is refused."""


class UnreadableError(ValueError):
    """A genuine call that holds no event."""


class Receiver(ABC):
    """Knows one provider's events. It holds nothing; ``name`` is the provider's, and its place in the URL."""

    name: ClassVar[str]

    @abstractmethod
    def genuine(self, headers: Mapping[str, str], body: bytes, secrets: Sequence[str], now: float) -> bool:
        """Whether the provider made this call, at about ``now`` (Unix seconds). The body is not read before.

        ``headers`` has lower-case names. Without secrets nothing is genuine.
        """

    @abstractmethod
    def read(self, headers: Mapping[str, str], body: bytes) -> Sequence[Told]:
        """The events of a genuine call. A type it does not know is an event too. Raises UnreadableError."""
