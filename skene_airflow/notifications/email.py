"""`alerts: [{email: …}]`: a mail to those who answer for a loop, of runs and counts and never of a person."""

from __future__ import annotations

from abc import abstractmethod
from hashlib import sha256
from html import escape
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow.sdk import BaseNotifier
from airflow.sdk.configuration import conf

from skene_airflow.errors import SettingsError, SkeneError
from skene_airflow.hooks.connections import open_channel
from skene_airflow.hooks.settings import airflow_settings
from skene_airflow.nouns import Answer, Message, Mode

if TYPE_CHECKING:
    from airflow.sdk import Context

    from skene_airflow.settings import Settings


class Alert(NamedTuple):
    """What an alert says: one line, and what to do about it."""

    subject: str
    text: str


class AlertNotSent(SkeneError):
    """The alert could not be sent; the log of the task or of the dag-processor has the alert itself."""


class EmailNotifier(BaseNotifier):
    """Mails an alert through the loop's own email connection.

    ``to``: addresses. ``conn_id``: the connection that also sends the loop's mail. ``sender``: the loop's From
    address; absent, the connection's, then `[skene] from_email`. ``dag_id``: the DAG that it is
    about; absent, the loop's own. `[skene] max_mode` counts for alerts as well: under `redirect` they go to
    `redirect_to`, under `shadow` to the log only.
    """

    def __init__(
        self,
        *,
        loop_id: str,
        to: tuple[str, ...],
        conn_id: str,
        sender: str | None = None,
        dag_id: str | None = None,
    ) -> None:
        super().__init__()
        self.loop_id, self.to, self.conn_id, self.sender = loop_id, to, conn_id, sender
        self.dag_id = dag_id or loop_id

    @abstractmethod
    def alerts(self, context: Context) -> list[Alert]:
        """What there is to say; nothing, and no mail is sent."""

    def render_template_fields(self, context: Context, jinja_env: object = None) -> None:
        """Nothing: nothing of an alert is templated, and the DAG that `dags test` hands over could not."""

    def notify(self, context: Context) -> None:
        """Send what there is to say. Raises AlertNotSent, or SettingsError for a connection that is no channel."""
        for alert in self.alerts(context):
            self.log.warning("%s\n%s", alert.subject, alert.text)
            self._send(alert, f"{self.dag_id}/{run_id_of(context)}")

    def _send(self, alert: Alert, run: str) -> None:
        settings = airflow_settings()
        to = recipients(settings, self.to)
        if not to:
            self.log.info("[skene] max_mode is shadow, so the alert stays in this log")
            return
        with open_channel(self.conn_id) as channel:
            sender = self.sender or channel.from_email or settings.from_email
            if not sender:
                message = "nobody is named as the sender of alerts: set [skene] from_email"
                raise SettingsError(message)
            for address in to:
                key = sha256("\0".join((run, *alert, address)).encode()).hexdigest()
                mail = as_message(alert, key, address, sender)
                result = channel.send(channel.freeze([mail]), f"sk-alert-{key}")
                if result.answer is not Answer.ACCEPTED:
                    message = f"the alert was not accepted ({result.error}): {result.detail}"
                    raise AlertNotSent(message)

    def __str__(self) -> str:
        return f"{type(self).__name__}({self.loop_id})"

    __repr__ = __str__


def recipients(settings: Settings, to: tuple[str, ...]) -> tuple[str, ...]:
    """Who gets an alert under this deployment's `max_mode`."""
    if settings.max_mode is Mode.LIVE:
        return to
    return (settings.redirect_to,) if settings.max_mode is Mode.REDIRECT else ()


def as_message(alert: Alert, key: str, to: str, sender: str) -> Message:
    """The alert as a mail that any channel can send."""
    paragraphs = "".join(f"<p>{escape(part)}</p>" for part in alert.text.split("\n\n"))
    return Message(
        delivery_id=0,
        message_key=key,
        to=to,
        sender=sender,
        subject=alert.subject,
        html=f"<!doctype html><html><body>{paragraphs}</body></html>",
        text=f"{alert.text}\n",
        headers=(("Auto-Submitted", "auto-generated"),),
    )


def run_id_of(context: Context) -> str:
    """The run that a callback is about: the dag-processor gives less of a context than a worker."""
    facts: Any = context
    run = facts.get("dag_run")
    return str(run.run_id if run is not None else facts.get("run_id", ""))


def link(dag_id: str, run_id: str) -> str:
    """Where the run is to be seen."""
    base = str(conf.get("api", "base_url", fallback="") or "").rstrip("/")
    return f"\n\n{base}/dags/{dag_id}/runs/{run_id}" if base else ""
