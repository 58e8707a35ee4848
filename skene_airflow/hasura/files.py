"""The same as files of a Hasura project (metadata version 3), for `hasura metadata apply`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import yaml

from skene_airflow.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from skene_airflow.hasura.wanted import Table

_LISTS: Final = {
    "object_relationships": "name",
    "array_relationships": "name",
    "select_permissions": "role",
    "update_permissions": "role",
    "event_triggers": "name",
}


class _Dumper(yaml.SafeDumper):
    """Lists are indented below their key, as Hasura's own export has them."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        del indentless
        super().increase_indent(flow, indentless=False)


def files(folder: Path, wanted: Sequence[Table], source: str = "default") -> dict[str, str]:
    """The text of each file, by its path below the metadata ``folder``: what is there already is kept and added to.

    Raises SettingsError for a file that is there and is not what Hasura writes.
    """
    below = f"databases/{source}/tables"
    index = _read(folder, f"{below}/tables.yaml")
    lines = [str(line) for line in index] if isinstance(index, list) else []
    if index is not None and (not isinstance(index, list) or any(isinstance(line, dict) for line in index)):
        raise SettingsError(f"{folder / below / 'tables.yaml'} holds tables itself: export it with a newer hasura CLI")
    found = {}
    for table in wanted:
        name = f"{table['table']['schema']}_{table['table']['name']}.yaml"
        before = _read(folder, f"{below}/{name}")
        if before is not None and not isinstance(before, dict):
            raise SettingsError(f"{folder / below / name} is no table of Hasura's metadata")
        found[f"{below}/{name}"] = _text(merged(before or {}, table))
        if f"!include {name}" not in lines:
            lines.append(f"!include {name}")
    return {f"{below}/tables.yaml": "".join(f'- "{line}"\n' for line in sorted(lines)), **found}


def merged(before: Mapping[str, Any], table: Table) -> Table:
    """A table's entry with ours in it: by name or role ours wins, everything else stays."""
    entry: Table = {**before, "table": table["table"]}
    for kind, by in _LISTS.items():
        if kind not in table:
            continue
        ours = {each[by]: each for each in table[kind]}
        entry[kind] = [each for each in before.get(kind, ()) if each.get(by) not in ours] + list(ours.values())
    return entry


def _read(folder: Path, name: str) -> Any:
    path = folder / name
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, yaml.YAMLError, UnicodeDecodeError):
        raise SettingsError(f"{path} cannot be read as YAML") from None


def _text(value: object) -> str:
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=1000)
