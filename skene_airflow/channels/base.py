"""What every channel has in common. The flow is here; a provider's own words are in that provider's file."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, ClassVar, Self

from skene_airflow.channels.safety import error_class, fault_of, scrub
from skene_airflow.errors import SettingsError
from skene_airflow.nouns import Answer, SendResult

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Mapping, Sequence
    from types import TracebackType

    from skene_airflow.nouns import Message

NO_REPLY = 0
"""The code of a call that ended without any answer."""
# The first byte of a body that must never reach a provider. No provider's body begins like this.
_UNSENDABLE = b"!"


@dataclass(frozen=True, slots=True)
class ChannelConfig:
    """An Airflow connection's fields, without Airflow."""

    conn_type: str
    host: str = ""
    port: int | None = None
    login: str = ""
    password: str = field(default="", repr=False)
    schema: str = ""
    extra: Mapping[str, object] = field(default_factory=dict, repr=False)

    def text(self, name: str) -> str:
        """The extra ``name`` as text; empty if it is not set."""
        value = self.extra.get(name)
        return "" if value is None else str(value).strip()

    def flag(self, name: str) -> bool | None:
        """The extra ``name`` as yes or no; None if it is not set. Raises SettingsError for anything else."""
        value = self.text(name).lower()
        if value in {"", "none", "null"}:
            return None
        if value in {"true", "1", "yes", "on"}:
            return True
        if value in {"false", "0", "no", "off"}:
            return False
        raise SettingsError(f"the {self.conn_type} connection's extra '{name}' must be true or false")

    def seconds(self, name: str, default: float) -> float:
        """The extra ``name`` as a positive number of seconds. Raises SettingsError for anything else."""
        value = self.text(name)
        try:
            number = float(value) if value else default
        except ValueError:
            number = 0.0
        if not 0 < number <= 3600:
            raise SettingsError(f"the {self.conn_type} connection's extra '{name}' must be seconds between 0 and 3600")
        return number


@dataclass(frozen=True, slots=True)
class Rule:
    """One line of a channel's table: what the provider said, and what that means for the batch.

    ``codes`` are reply codes (NO_REPLY: none came). ``said`` are the words it applies to (Resend's error name,
    the step of an SMTP dialogue); none means any. ``error`` names the class when the provider gives no name.
    ``advice`` tells a person what to do, and stands before the provider's own text.
    """

    codes: Container[int]
    said: tuple[str, ...]
    answer: Answer
    error: str = ""
    advice: str = ""

    def fits(self, code: int, said: str) -> bool:
        """Whether this line is about that reply."""
        return code in self.codes and (not self.said or said in self.said)


class Channel(ABC):
    """One way for messages to leave. Opens nothing until the first `send`; threads share it only with ``in_flight``."""

    name: ClassVar[str]
    """The connection type, and the provider's name in the ledger."""
    batch_size: ClassVar[int]
    """The most messages in one call."""
    window: ClassVar[timedelta | None]
    """How long the provider answers the same key without sending again; None: it cannot be asked again."""
    in_flight: ClassVar[int] = 1
    """The most calls of one sender at a time. More than 1: `send` may be called from several threads at once."""
    local: ClassVar[bool] = False
    """Whether the mail stays on this machine."""
    most_bytes: ClassVar[int] = 10_000_000
    """The longest body of a call with more than one message in it: longer ones are cut before they are sent."""
    table: ClassVar[tuple[Rule, ...]]
    """What each answer means: the first line that fits. The last line fits everything."""

    def __init__(self, config: ChannelConfig) -> None:
        self.config = config
        self.now: Callable[[], datetime] = lambda: datetime.now(UTC)
        """The clock that dates a mail when it is frozen; there to be replaced in tests."""

    @property
    def account(self) -> str:
        """Whom the provider takes us for. A secret: it is compared, and never kept or shown."""
        config = self.config
        return "\0".join((config.conn_type, config.host, str(config.port or ""), config.login, config.password))

    @property
    def from_email(self) -> str:
        """The connection's own From address, or the empty string."""
        return self.config.text("from_email")

    def freeze(self, messages: Sequence[Message]) -> bytes:
        """The exact body of one call for these messages: the same messages, the same bytes.

        Channels that build MIME themselves read the clock once, for the Date header. A message that must not
        leave (two recipients, an injected header) makes a body that `send` answers with BAD_LOT, unsent.
        Raises ValueError for none or more than ``batch_size`` messages.
        """
        if not 1 <= len(messages) <= self.batch_size:
            raise ValueError(f"a batch of {self.name} holds 1 to {self.batch_size} messages, not {len(messages)}")
        fault = next((fault for message in messages if (fault := fault_of(message))), "")
        return _UNSENDABLE + fault.encode() if fault else self._freeze(messages)

    def send(self, body: bytes, idem_key: str) -> SendResult:
        """Make one provider call with a frozen body. Trouble of provider or network is an answer, not an error."""
        if body.startswith(_UNSENDABLE):
            error = error_class(body[1:].decode("ascii", "replace")) or "invalid_message"
            return SendResult(Answer.BAD_LOT, error=error, detail="refused here, before any provider was asked")
        return self._send(body, idem_key)

    @property
    def calls_left(self) -> float | None:
        """How many calls the account may make before it has to pause, if the provider's last answer said so."""
        return None

    @property
    def pause(self) -> float:
        """Seconds to wait before the next call, as far as the provider's last answer asks for it."""
        return 0.0

    @abstractmethod
    def _freeze(self, messages: Sequence[Message]) -> bytes:
        """The body for messages that were found safe."""

    @abstractmethod
    def _send(self, body: bytes, idem_key: str) -> SendResult:
        """One call, no hidden retry."""

    @abstractmethod
    def test(self) -> tuple[bool, str]:
        """Whether the connection works, and a sentence about it. Sends no mail."""

    @abstractmethod
    def close(self) -> None:
        """Let go of connections; closing twice is fine, and the next `send` opens again."""

    def _answer(
        self, code: int, said: str = "", *, error: str = "", detail: str = "", retry_after: float | None = None
    ) -> SendResult:
        """Look the reply up in the table."""
        rule = next(rule for rule in self.table if rule.fits(code, said))
        return SendResult(
            rule.answer,
            error=error_class(error) or rule.error or "unknown_error",
            detail=scrub(f"{rule.advice} {detail}"),
            retry_after=retry_after,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
