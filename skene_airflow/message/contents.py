"""What a step may say: one content for each segment and variant, with the action that it comes from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from skene_airflow.errors import SkeneError
from skene_airflow.loop.actions import EmailAction, InAppAction

if TYPE_CHECKING:
    from collections.abc import Iterator

    from skene_airflow.loop.actions import NoticeVariant, SegmentAction, Variant
    from skene_airflow.loop.schema import Loop, Step

KEYS = ("title", "body", "link")
"""What a message in the app is made of."""
ALL = "all"
"""The segment of a step that has none."""


@dataclass(frozen=True, slots=True)
class Content:
    """One mail or message of a step: the merged action, and the paths in the loop where its parts are written."""

    action: EmailAction | InAppAction
    where: str
    segment: str = ALL
    variant: str | None = None
    over: Variant | NoticeVariant | None = None
    part: SegmentAction | None = None
    part_where: str = ""

    @property
    def mail(self) -> EmailAction:
        """The action of a mail. Raises SkeneError for a message in the app."""
        if not isinstance(self.action, EmailAction):
            raise SkeneError(f"{self.where} is no mail.")
        return self.action

    @property
    def notice(self) -> tuple[str, str, str | None]:
        """Title, body and link of a message in the app: the variant's own, else the action's."""
        own = [getattr(self.over, key, None) for key in KEYS]
        title, body, link = (
            getattr(self.action, key, None) if o is None else o for key, o in zip(KEYS, own, strict=True)
        )
        return title or "", body or "", link

    @property
    def template(self) -> str:
        """The template's name: the variant's own, else the action's."""
        return getattr(self.over, "template", None) or self.mail.template

    @property
    def subject(self) -> str | None:
        """The variant's own subject, else the segment's; None where the template's counts."""
        return self._line("subject")

    @property
    def preheader(self) -> str | None:
        """The variant's own preheader, else the segment's; None where the template's counts."""
        return self._line("preheader")

    @property
    def weight(self) -> float:
        """This content's share among those of its segment, relative to theirs."""
        return self.over.weight if self.over is not None else 1.0

    def _line(self, key: str) -> str | None:
        own = getattr(self.over, key, None)
        found: str | None = getattr(self.part, key, None) if own is None else own
        return found

    def path(self, key: str) -> str:
        """The path of a key of the action, in the part that wrote it; of the variant for what a variant says."""
        if self.over is not None and key in self.over.model_fields_set and self.variant:
            return f"{self._of('variants')}.variants.{self.variant}.{key}"
        return f"{self._of(key.partition('.')[0])}.{key}"

    def _of(self, key: str) -> str:
        name = "from_" if key == "from" else key
        return self.part_where if self.part is not None and name in self.part.model_fields_set else self.where


def contents(loop: Loop, step: Step) -> tuple[Content, ...]:
    """Every content of a step, in the order of its segments and variants."""
    return tuple(_all(step, step.action, f"steps[{loop.steps.index(step)}]"))


def _all(step: Step, action: EmailAction | InAppAction, here: str) -> Iterator[Content]:
    where = f"{here}.action"
    if step.segments is None:
        yield from _variants(Content(action, where))
    elif not isinstance(step.segments, tuple):
        for name in step.segments.bands:
            yield from _variants(Content(action, where, name))
    else:
        for number, segment in enumerate(step.segments):
            part = segment.action
            merged = action if part is None else _merged(action, part)
            path = f"{here}.segments[{number}].action"
            yield from _variants(Content(merged, where, segment.name, part=part, part_where=path))


def _variants(content: Content) -> Iterator[Content]:
    if not content.action.variants:
        yield content
    for name, over in (content.action.variants or {}).items():
        yield Content(content.action, content.where, content.segment, name, over, content.part, content.part_where)


def _merged(action: EmailAction | InAppAction, part: SegmentAction) -> EmailAction | InAppAction:
    """The step's action with a segment's keys in place of its own.

    A segment with a template (in the app: a title) of its own has none of the step's variants.
    """
    written = {name: getattr(part, name) for name in part.model_fields_set if name in type(action).model_fields}
    changes = {name: value for name, value in written.items() if value is not None}
    if part.personalization is not None:
        changes["personalization"] = {**action.personalization, **part.personalization}
    if (part.title if isinstance(action, InAppAction) else part.template) is not None:
        changes["variants"] = part.variants
    return action.model_copy(update=changes)
