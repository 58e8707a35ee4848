"""What the preview shows: the loops of a folder, and one mail of them with everything there is to say about it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from skene_airflow.errors import LoopError, MissingVariable, SettingsError, SkeneError
from skene_airflow.loop.load import load_folder
from skene_airflow.message.contents import ALL, contents
from skene_airflow.message.headers import headers_of
from skene_airflow.message.review import CLIP
from skene_airflow.stages.look import Look, Wish, choose, look

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    import psycopg

    from skene_airflow.loop.load import Folder
    from skene_airflow.loop.schema import Loop
    from skene_airflow.message.render import Site

VIEWS = ("both", "desktop", "phone", "text", "headers", "html")
_KEYS = ("loop", "step", "segment", "variant", "locale", "view")


@dataclass(frozen=True, slots=True)
class People:
    """Where real persons are found: how to open an Airflow connection id, and the key of the one who is meant."""

    source: Callable[[str], Callable[[], psycopg.Connection[Any]]]
    user: str | None = None


class Showing:
    """Reads the folder when its files have changed, and makes what a page needs to know."""

    def __init__(self, root: Path, site: Site, people: People | None) -> None:
        self._root, self._site, self._people = root, site, people
        self._read: tuple[object, Folder] | None = None

    def state(self) -> frozenset[tuple[str, int, int]]:
        """What tells that a file has changed: the name, time and size of each."""
        found = set()
        for path in self._root.rglob("*"):
            try:
                status = path.stat()
            except OSError:  # gone since it was listed
                continue
            if path.is_file():
                found.add((str(path), status.st_mtime_ns, status.st_size))
        return frozenset(found)

    def seen(self) -> str:
        """The state as a short text, for a page to say which one it shows."""
        return hashlib.sha256(repr(sorted(self.state())).encode("utf-8", "surrogatepass")).hexdigest()[:16]

    def look(self, query: Mapping[str, str]) -> tuple[Look | None, str]:
        """The mail that is asked for, or why there is none."""
        loop = next((each for each in self._folder().loops if each.id == query.get("loop")), None)
        if loop is None:
            return None, "there is no such loop"
        try:
            return self._look(loop, query), ""
        except SkeneError as error:
            return None, str(error)

    def page(self, query: Mapping[str, str]) -> dict[str, Any]:
        """Everything that the page prints."""
        state = self.seen()  # before anything is read: what is saved meanwhile is a change
        folder = self._folder()
        broken = {error.file: error for error in folder.errors}
        loop = next((each for each in folder.loops if each.id == query.get("loop")), None)
        wrong = broken.get(query.get("loop", ""))
        if loop is None and wrong is None:
            loop = next(iter(folder.loops), None)
            wrong = next(iter(folder.errors), None) if loop is None else None
        seen, trouble, faults = self._seen(loop, query)
        if wrong is not None:
            trouble, faults = "This file has faults.", [str(fault) for fault in wrong.faults]
        chosen = self._chosen(loop, seen, query)
        return {
            "state": state,
            "folder": str(self._root),
            "loops": [self._entry(each, loop) for each in folder.loops],
            "broken": [(file, "?" + urlencode({"loop": file}), wrong is error) for file, error in broken.items()],
            "loop": loop,
            "chosen": chosen,
            "views": [(name, self._url(chosen | {"view": name})) for name in VIEWS],
            "mail": "/mail?" + urlencode({key: chosen[key] for key in _KEYS if key != "view" and chosen[key]}),
            "eml": "/mail.eml?" + urlencode({key: chosen[key] for key in _KEYS if key != "view" and chosen[key]}),
            "choices": self._choices(loop, seen),
            "seen": seen,
            "trouble": trouble,
            "faults": faults,
            "real": self._people is not None,
            **_measures(seen),
        }

    def _folder(self) -> Folder:
        state = self.state()
        if self._read is None or self._read[0] != state:
            self._read = (state, load_folder(self._root))
        return self._read[1]

    def _look(self, loop: Loop, query: Mapping[str, str]) -> Look:
        people = self._people
        source = people.source(loop.connections.source) if people else None
        locale, user = query.get("locale") or None, people.user if people else None
        step, segment, variant = (query.get(key) or None for key in ("step", "segment", "variant"))
        try:
            choose(loop, Wish(step, segment, variant))
        except SettingsError:
            # A page that stays open while its step or variant is renamed shows the first there is now.
            step = segment = variant = None
        return look(loop, Wish(step, segment, variant, locale, user), self._site, source, draft=True)

    def _seen(self, loop: Loop | None, query: Mapping[str, str]) -> tuple[Look | None, str, list[str]]:
        if loop is None:
            return None, "", []
        try:
            seen = self._look(loop, query)
        except LoopError as error:
            return None, "This mail has faults.", [str(fault) for fault in error.faults]
        except MissingVariable as error:
            return None, f"No mail can be made for this person: {error}.", []
        except SkeneError as error:
            return None, str(error), []
        return seen, "", [str(fault) for fault in seen.faults]

    def _chosen(self, loop: Loop | None, seen: Look | None, query: Mapping[str, str]) -> dict[str, str]:
        view = query.get("view", "")
        chosen = {key: query.get(key, "") for key in _KEYS}
        if seen is not None:
            chosen |= {"step": seen.step.id, "segment": seen.content.segment, "variant": seen.content.variant or ""}
        return chosen | {"loop": loop.id if loop else "", "view": view if view in VIEWS else VIEWS[0]}

    def _choices(self, loop: Loop | None, seen: Look | None) -> dict[str, list[str]]:
        if loop is None or seen is None:
            return {"segment": [], "variant": [], "locale": []}
        every = contents(loop, seen.step)
        segments = list(dict.fromkeys(each.segment for each in every))
        variants = [each.variant for each in every if each.segment == seen.content.segment and each.variant]
        return {"segment": segments if segments != [ALL] else [], "variant": variants, "locale": list(seen.languages)}

    def _entry(self, loop: Loop, current: Loop | None) -> dict[str, Any]:
        steps = [
            {"id": step.id, "url": self._url({"loop": loop.id, "step": step.id}), "mails": len(contents(loop, step))}
            for step in loop.steps
            if contents(loop, step)
        ]
        here = current is not None and current.id == loop.id
        return {"id": loop.id, "type": loop.type, "url": self._url({"loop": loop.id}), "steps": steps, "here": here}

    @staticmethod
    def _url(values: Mapping[str, str]) -> str:
        return "?" + urlencode({key: value for key, value in values.items() if value})


def _measures(seen: Look | None) -> dict[str, Any]:
    if seen is None:
        return {"size": 0, "clip": CLIP, "headers": [], "kilobytes": "0"}
    size = len(seen.message.html.encode("utf-8", "replace"))
    return {"size": size, "clip": CLIP, "headers": headers_of(seen.message), "kilobytes": f"{size / 1024:.1f}"}
