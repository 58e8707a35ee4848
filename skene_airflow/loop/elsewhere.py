"""Words that people bring from other tools."""

from __future__ import annotations

from typing import Final

# Values of closed lists: theirs → ours.
MEANINGS: Final[dict[str, tuple[str, ...]]] = {
    **dict.fromkeys(
        ("dry", "dry_run", "dryrun", "test", "testing", "draft", "sandbox", "off", "disabled"), ("shadow",)
    ),
    **dict.fromkeys(("on", "prod", "production", "enabled", "active", "real"), ("live",)),
    **dict.fromkeys(("cron", "time", "timer", "interval", "timetable", "scheduled", "daily"), ("schedule",)),
    **dict.fromkeys(("event", "events", "webhook", "table", "row", "insert", "hasura", "trigger"), ("database",)),
    **dict.fromkeys(("dataset", "assets", "sensor"), ("asset",)),
    **dict.fromkeys(("delay", "wait", "follow_up", "step"), ("after",)),
    **dict.fromkeys(("api", "none", "once"), ("manual",)),
    **dict.fromkeys(("mail", "e_mail", "send_email", "resend", "smtp"), ("email",)),
    **dict.fromkeys(("inbox", "in_product", "notification", "banner", "modal"), ("in_app",)),
    **dict.fromkeys(("sql", "select", "postgres", "postgresql", "database"), ("query",)),
    **dict.fromkeys(("gql", "hasura"), ("graphql",)),
    **dict.fromkeys(("linear", "constant", "none"), ("fixed",)),
    **dict.fromkeys(("exp", "jitter"), ("exponential",)),
    **dict.fromkeys(("promo", "promotional", "newsletter", "growth"), ("marketing",)),
    **dict.fromkeys(("transaction", "service", "system", "operational"), ("transactional",)),
    **dict.fromkeys(("created", "create", "new", "added", "signup"), ("insert",)),
    **dict.fromkeys(("updated", "changed", "change", "modified"), ("update",)),
    **dict.fromkeys(("deleted", "removed", "remove"), ("delete",)),
    **dict.fromkeys(("never", "no", "none", "deny"), ("forbid",)),
    **dict.fromkeys(("all", "everybody", "yes"), ("include",)),
    **dict.fromkeys(("exclude", "ignore", "only_new"), ("skip",)),
    **dict.fromkeys(("file", "folder", "console", "log", "local"), ("outbox",)),
}
PROVIDERS: Final = frozenset(
    ("sendgrid", "mailgun", "postmark", "ses", "amazon_ses", "aws_ses", "gmail", "mailchimp", "mandrill", "brevo")
)
# Theirs → ours, the best guess first.
ELSEWHERE: Final[dict[str, tuple[str, ...]]] = {
    "description": ("opinion",),
    "doc": ("opinion",),
    "doc_md": ("opinion",),
    "summary": ("opinion",),
    "purpose": ("opinion",),
    "sql": ("query",),
    "statement": ("query",),
    "select": ("query",),
    "delay": ("wait",),
    "after": ("wait", "trigger"),
    "schedule": ("cron", "trigger"),
    "schedule_interval": ("cron", "trigger"),
    "interval": ("cron",),
    "at": ("cron",),
    "time": ("cron",),
    "on": ("trigger",),
    "when": ("trigger",),
    "triggered_by": ("trigger",),
    "audience": ("condition",),
    "filter": ("when", "condition"),
    "where": ("when", "condition"),
    "who": ("condition",),
    "do": ("action",),
    "then": ("action",),
    "conversion": ("goal",),
    "success": ("goal",),
    "source_conn_id": ("source", "connections"),
    "postgres_conn_id": ("source", "connections"),
    "conn_id": ("connections",),
    "email_conn_id": ("email", "connections"),
    "database": ("source", "connections"),
    "channel": ("provider",),
    "tz": ("timezone",),
    "time_zone": ("timezone",),
    "variables": ("personalization",),
    "params": ("personalization",),
    "context": ("personalization",),
    "data": ("personalization",),
    "props": ("personalization",),
    "merge_vars": ("personalization",),
    "template_id": ("template",),
    "cooldown": ("every", "entry"),
    "reentry": ("entry",),
    "frequency": ("frequency_cap",),
    "control": ("holdout",),
    "control_group": ("holdout",),
    "throttle": ("frequency_cap",),
    "caps": ("frequency_cap",),
    "cap": ("frequency_cap",),
    "dry_run": ("mode",),
    "test": ("mode",),
    "test_mode": ("mode",),
    "max_audience": ("max", "guard"),
    "limit": ("max",),
    "retry": ("recovery",),
    "default_args": ("recovery",),
    "category": ("class", "topic"),
    "id": ("key",),
    "user_id": ("key",),
    "name": ("id",),
    "step_id": ("id",),
    "task_id": ("id",),
    "mail": ("email",),
    "email_column": ("email",),
    "sender": ("from",),
    "from_email": ("from",),
    "start": ("from",),
    "end": ("to",),
    "until": ("to",),
    "flag": ("on_sent",),
    "mark": ("on_sent",),
    "after_send": ("on_sent",),
    "utm_campaign": ("campaign", "utm"),
    "tests": ("variants",),
    "ab_test": ("variants",),
    "tasks": ("steps",),
    "stages": ("steps",),
    "flow": ("steps",),
    "sequence": ("steps",),
    "messages": ("steps",),
    "label": ("tags",),
    "labels": ("tags",),
    "segment": ("segments",),
}

LOOP_NAMES: Final = frozenset(("id", "name", "slug", "title", "dag_id", "loop_id"))
PARAMETERS: Final = frozenset(("params", "parameters", "variables", "vars", "bind", "binds", "args"))

_ALERTS: Final = "write alerts: [{email: growth@acme.example}]"
_CALLBACK: Final = "callbacks are Python: give them to load_loops() in the DAG file"
_ONE_RUN: Final = "leave it out: one run of a loop is active at a time"
_PAUSE: Final = "pause the DAG in Airflow, or write mode: shadow"
_SHARED: Final = "keys that loops share go into _defaults.yaml"
_START: Final = "leave it out: a loop begins with its first run"
_TEXT: Final = "the template holds the text of the mail: templates/<name>.html"
_SUBJECT: Final = "it stands in the template's front matter: `subject: …`"
_PERSON: Final = "each person of the condition gets a mail of their own, at the address in the column user.email"
_TIMEOUT: Final = "write timeout in the condition, or airflow: {dagrun_timeout: 2h}"
_VERSION: Final = "leave it out: the text of the file is its version"

# What no key of the language is an answer to.
ADVICE: Final[dict[str, str]] = {
    **dict.fromkeys(("start_date", "end_date", "start"), _START),
    **dict.fromkeys(("catchup",), "leave it out: a loop never catches up; `backfill` says what a backfill does"),
    **dict.fromkeys(("depends_on_past", "max_active_runs", "max_active_tasks", "concurrency"), _ONE_RUN),
    **dict.fromkeys(("email_on_failure", "email_on_retry", "notifications", "notify", "slack", "webhook"), _ALERTS),
    **dict.fromkeys(("on_failure_callback", "on_success_callback", "on_retry_callback", "callback"), _CALLBACK),
    **dict.fromkeys(("sla", "execution_timeout"), _TIMEOUT),
    **dict.fromkeys(("enabled", "active", "disabled", "paused", "is_paused_upon_creation", "status"), _PAUSE),
    **dict.fromkeys(("version", "api_version", "kind", "metadata", "spec"), _VERSION),
    **dict.fromkeys(("include", "extends", "import", "imports", "defaults", "anchors"), _SHARED),
    **dict.fromkeys(("html", "text", "body", "content", "html_content", "message", "markdown"), _TEXT),
    **dict.fromkeys(("subject", "preheader", "preview"), _SUBJECT),
    **dict.fromkeys(("to", "cc", "bcc", "recipient", "recipients", "email_to"), _PERSON),
    **dict.fromkeys(("attachments", "headers"), "leave it out: a mail is its template and nothing else"),
    **dict.fromkeys(("env", "environment", "vars"), "a deployment's settings are Airflow's: connections and [skene]"),
}
