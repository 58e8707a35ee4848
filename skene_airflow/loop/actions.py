"""What a step does with its audience: one closed model per ``type``, and the parts that others inherit."""

import math
import re
from typing import Annotated, Any, Final, Literal, TypeAlias

from pydantic import AfterValidator, Discriminator, Field, PlainValidator, Tag, WithJsonSchema

from skene_airflow.loop import codes
from skene_airflow.loop.fields import SOME, Mailbox, Name, Template, Text, shown
from skene_airflow.loop.model import TAG, Model, by_type, refuse


def _value(value: Any) -> Any:
    if value is None or isinstance(value, str | int) or (isinstance(value, float) and math.isfinite(value)):
        return value
    hint = 'write text, a number, true or false, or one expression: "{{ user.name }}"'
    raise refuse(codes.WRONG_TYPE, "this is not text, a number, true or false", hint)


def _variable(name: str) -> str:
    if not _VARIABLE.fullmatch(name):
        hint = "write letters, digits and '_', no digit first"
        raise refuse(codes.NAME, f"{shown(name)} is not a name that a template can print", hint)
    return name


_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
Value: TypeAlias = Annotated[
    str | int | float | bool | None,
    PlainValidator(_value),
    WithJsonSchema({"type": ["string", "number", "boolean", "null"]}),
]
Personalization: TypeAlias = dict[Annotated[str, AfterValidator(_variable)], Value]
Provider: TypeAlias = Literal["resend", "smtp", "outbox"]
_PERSONALIZATION = "Names the template prints, with Jinja expressions over the person's row, or plain values."


Weight: TypeAlias = Annotated[
    float,
    Field(ge=0, le=1_000_000, allow_inf_nan=False, description="This variant's share, relative to the other weights."),
]


class Utm(Model):
    """Parameters added to the links of a mail."""

    source: Text | None = Field(default=None, description="utm_source")
    medium: Text | None = Field(default=None, description="utm_medium")
    campaign: Text | None = Field(default=None, description="utm_campaign")
    term: Text | None = Field(default=None, description="utm_term")
    content: Text | None = Field(default=None, description="utm_content")


class Variant(Model):
    """One alternative content; a person always gets the same one."""

    subject: Text | None = Field(default=None, description="Another subject.")
    preheader: str | None = Field(default=None, description="Another preheader.")
    template: Template | None = Field(default=None, description="Another template.")
    weight: Weight = 1


class NoticeVariant(Model):
    """One alternative message in the app; a person always gets the same one."""

    title: Text | None = Field(default=None, description="Another title.")
    body: str | None = Field(default=None, description="Another text.")
    link: Text | None = Field(default=None, description="Another link.")
    weight: Weight = 1


class VariantPart(Variant):
    """One alternative content, of a mail or of a message in the app."""

    title: Text | None = Field(default=None, description="in_app: another title.")
    body: str | None = Field(default=None, description="in_app: another text.")
    link: Text | None = Field(default=None, description="in_app: another link.")


class EmailAction(Model):
    """Sends one mail to each person."""

    type: Literal["email"] = Field(description="Sends a mail.")
    provider: Provider = Field(default="resend", description="Names the default connection: <provider>_default.")
    template: Template = Field(description="templates/<name>.html or .md", examples=["re_engagement"])
    personalization: Personalization = Field(default_factory=dict, description=_PERSONALIZATION)
    from_: Mailbox | None = Field(
        default=None, alias="from", description="The From address.", examples=["Ada at Acme <ada@acme.example>"]
    )
    reply_to: Mailbox | None = Field(default=None, description="Where answers go.")
    variants: Annotated[dict[Name, Variant], SOME] | None = Field(default=None, description="Alternative contents.")
    utm: Utm | None = Field(default=None, description="Parameters added to the links.")


class InAppAction(Model):
    """Puts one row into skene.inbox for each person."""

    type: Literal["in_app"] = Field(description="Puts a row into skene.inbox.")
    title: Text = Field(description="The title; Jinja as in templates.")
    body: str = Field(default="", description="The text; Jinja as in templates.")
    link: Text | None = Field(default=None, description="Where a click leads: https://… or a path of the app.")
    personalization: Personalization = Field(default_factory=dict, description=_PERSONALIZATION)
    variants: Annotated[dict[Name, NoticeVariant], SOME] | None = Field(
        default=None, description="Alternative contents."
    )


class ActionPart(Model):
    """Keys of an action that a loop gives to all its steps."""

    type: Literal["email", "in_app"] | None = Field(default=None, description="The kind of action.")
    provider: Provider | None = Field(default=None, description="Names the default connection.")
    template: Template | None = Field(default=None, description="templates/<name>.html or .md")
    personalization: Personalization | None = Field(default=None, description=_PERSONALIZATION)
    from_: Mailbox | None = Field(default=None, alias="from", description="The From address.")
    reply_to: Mailbox | None = Field(default=None, description="Where answers go.")
    variants: Annotated[dict[Name, VariantPart], SOME] | None = Field(default=None, description="Alternative contents.")
    utm: Utm | None = Field(default=None, description="Parameters added to the links.")
    title: Text | None = Field(default=None, description="in_app: the title.")
    body: str | None = Field(default=None, description="in_app: the text.")
    link: Text | None = Field(default=None, description="in_app: where a click leads.")


class SegmentAction(ActionPart):
    """What a segment gets instead of what its step says."""

    subject: Text | None = Field(default=None, description="Instead of the template's subject; Jinja as there.")
    preheader: str | None = Field(default=None, description="Instead of the template's preheader.")


Action: TypeAlias = Annotated[
    Annotated[EmailAction, Tag(f"{TAG}email")] | Annotated[InAppAction, Tag(f"{TAG}in_app")],
    Discriminator(by_type()),
]
