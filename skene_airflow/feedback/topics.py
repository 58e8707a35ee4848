"""The titles of topics, from `_topics.yaml` in the loops folder: `product_tips: Tips for the product`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from skene_airflow.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Mapping

FILE = "_topics.yaml"


def topics(folder: str | Path) -> dict[str, str]:
    """Topic → title, in the order of the file; empty without a file. Raises SettingsError if it is no such map."""
    path = Path(folder) / FILE
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8")) if folder and path.is_file() else {}
    except (OSError, ValueError, yaml.YAMLError):
        found = None
    if not isinstance(found, dict) or not all(isinstance(text, str) for pair in found.items() for text in pair):
        raise SettingsError(f"{FILE} in the loops folder must be lines such as `product_tips: Tips for the product`")
    return {name: title.strip() or title_of(name, {}) for name, title in found.items()}


def title_of(topic: str, titles: Mapping[str, str]) -> str:
    """The title of a topic, made of its name if nobody wrote one."""
    return titles.get(topic) or topic.replace("_", " ").capitalize()
