"""What Airflow is told about the package: a mistake here breaks `import airflow` for the whole installation."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import fields
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from skene_airflow.get_provider_info import get_provider_info
from skene_airflow.hooks.settings import read_settings
from skene_airflow.settings import Settings

OPTIONS: dict[str, dict[str, Any]] = get_provider_info()["config"]["skene"]["options"]


def test_it_is_valid_against_airflows_own_schema() -> None:
    schema = json.loads(files("airflow").joinpath("provider_info.schema.json").read_text())
    jsonschema.validate(get_provider_info(), schema)


def test_the_options_are_those_of_the_contract() -> None:
    renamed = {"secret_keys": "secret_key"}
    assert set(OPTIONS) == {renamed.get(field.name, field.name) for field in fields(Settings)}


def test_the_defaults_are_those_of_the_settings() -> None:
    assert read_settings(lambda option: OPTIONS[option]["default"]) == Settings()


def test_only_the_secret_key_is_sensitive() -> None:
    assert [name for name, option in OPTIONS.items() if option.get("sensitive")] == ["secret_key"]


def test_importing_it_imports_nothing_else() -> None:
    code = (
        "import sys; before = set(sys.modules); import skene_airflow.get_provider_info as m; m.get_provider_info();"
        "print(*sorted(n for n in set(sys.modules) - before if not n.startswith(('skene_airflow', '__future__'))))"
    )
    done = subprocess.run([sys.executable, "-S", "-c", code], capture_output=True, text=True, check=True, cwd=_root())
    heavy = {name.split(".")[0] for name in done.stdout.split()} & {"airflow", "pydantic", "psycopg", "jinja2", "httpx"}
    assert not heavy


@pytest.mark.timeout(120)
def test_airflow_lists_the_provider_and_reads_its_options(tmp_path: Path) -> None:
    environment = {**os.environ, "AIRFLOW_HOME": str(tmp_path), "AIRFLOW__SKENE__MAX_MODE": "shadow"}
    code = (
        "from airflow.providers_manager import ProvidersManager as P; m = P();"
        "print('skene-airflow' in m.providers, {'resend', 'outbox'} <= set(m.hooks));"
        "from airflow.configuration import conf;"
        "print(conf.get('skene', 'schema'), conf.get('skene', 'max_mode'), conf.getint('skene', 'retention_days'))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True, timeout=100
    )
    assert ran.stdout.splitlines()[-2:] == ["True True", "skene shadow 30"]
    listed = subprocess.run(
        [str(Path(sys.executable).with_name("airflow")), "providers", "list", "--output", "json"],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=100,
    )
    assert "skene-airflow" in listed.stdout


def _root() -> Path:
    return Path(__file__).resolve().parents[2]
