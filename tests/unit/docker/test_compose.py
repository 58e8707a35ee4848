"""No docker engine is at hand: every name in the container files is held against what really exists."""

from __future__ import annotations

import configparser
import importlib
import importlib.util
import json
import re
import shlex
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
import yaml

from skene_airflow.get_provider_info import get_provider_info

ROOT = Path(__file__).resolve().parents[3]
DOCKER = ROOT / "docker"
COMPOSE: dict[str, Any] = yaml.safe_load((DOCKER / "compose.yaml").read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if "build" in service}


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile's instructions in order, without comments, with continued lines joined."""
    text = (DOCKER / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [line.strip() for line in text.splitlines()]
    pairs = [line.split(maxsplit=1) for line in lines if line and not line.startswith("#")]
    return [(word.upper(), rest) for word, rest in pairs]


def copied() -> list[str]:
    """Every path of the repository that the image takes."""
    found = []
    for word, rest in instructions():
        if word == "COPY":
            found += [path for path in shlex.split(rest) if not path.startswith("--")][:-1]
    return found


def options() -> set[tuple[str, str]]:
    """Every (section, option) that Airflow and its providers know."""
    from airflow.configuration import conf

    known = conf.configuration_description
    ours = get_provider_info()["config"]
    return {(section, key) for part in (known, ours) for section in part for key in part[section]["options"]}


def airflow_commands() -> set[str]:
    from airflow.cli.cli_config import core_commands

    return {command.name for command in core_commands}


def test_the_image_is_the_airflow_that_the_constraints_pin() -> None:
    [base] = [rest for word, rest in instructions() if word == "FROM"]
    pinned = re.search(r"^apache-airflow==(\S+)", (ROOT / "constraints.txt").read_text(encoding="utf-8"), re.MULTILINE)
    assert pinned
    assert base == f"apache/airflow:{pinned[1]}"


def test_every_copied_path_exists_and_is_not_ignored() -> None:
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    allowed = [line[1:] for line in lines if line.startswith("!")]
    assert copied()
    for path in copied():
        assert (ROOT / path).exists(), path
        assert any(fnmatch(path, pattern) for pattern in allowed), path


def test_the_image_holds_all_that_setup_cfg_reads() -> None:
    metadata = configparser.ConfigParser()
    metadata.read(ROOT / "setup.cfg", encoding="utf-8")
    readme = metadata["metadata"]["long_description"].removeprefix("file:").strip()
    needed = {"setup.cfg", "pyproject.toml", "skene_airflow", readme, *metadata["metadata"]["license_files"].split()}
    assert needed <= set(copied())


def test_every_extra_that_the_image_installs_exists() -> None:
    metadata = configparser.ConfigParser()
    metadata.read(ROOT / "setup.cfg", encoding="utf-8")
    for word, rest in instructions():
        if word == "RUN":
            for extras in re.findall(r"\.\[([\w,-]+)\]", rest):
                assert set(extras.split(",")) <= set(metadata["options.extras_require"]), extras


def test_the_build_names_files_that_exist() -> None:
    assert OURS
    for name, service in OURS.items():
        context = (DOCKER / service["build"]["context"]).resolve()
        assert context == ROOT, name
        assert (context / service["build"]["dockerfile"]).is_file(), name


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_every_mounted_path_exists_and_every_volume_is_declared(name: str) -> None:
    for volume in SERVICES[name].get("volumes", []):
        source, target = volume.split(":")[:2]
        assert target.startswith("/"), volume
        if source.startswith("."):
            assert (DOCKER / source).exists(), volume
        else:
            assert source in COMPOSE["volumes"], volume


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_nothing_listens_beyond_this_machine(name: str) -> None:
    for port in SERVICES[name].get("ports", []):
        assert str(port).startswith("127.0.0.1:"), port


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_services_wait_for_services_that_can_become_ready(name: str) -> None:
    for other, wait in SERVICES[name].get("depends_on", {}).items():
        assert other in SERVICES
        if wait["condition"] == "service_healthy":
            assert "healthcheck" in SERVICES[other], other
        if wait["condition"] == "service_completed_successfully":
            assert SERVICES[other]["restart"] == "no", other


@pytest.mark.parametrize("name", sorted(OURS))
def test_every_airflow_variable_is_a_real_option(name: str) -> None:
    known = options()
    for variable in OURS[name]["environment"]:
        if match := re.fullmatch(r"AIRFLOW__(.+?)__(.+)", variable):
            assert (match[1].lower(), match[2].lower()) in known, variable
        else:
            assert variable.startswith("AIRFLOW_CONN_"), variable


@pytest.mark.parametrize("name", sorted(OURS))
def test_every_bundle_can_be_made_from_its_kwargs(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    environment = OURS[name]["environment"]
    [bundle] = json.loads(environment["AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST"])
    module, _, kind = bundle["classpath"].rpartition(".")
    made = getattr(importlib.import_module(module), kind)(name=bundle["name"], **bundle["kwargs"])
    mounted = dict(volume.split(":")[1::-1] for volume in OURS[name]["volumes"] if volume.startswith(".."))
    folder = environment["AIRFLOW__SKENE__LOOPS_FOLDER"]
    monkeypatch.setenv("AIRFLOW__SKENE__LOOPS_FOLDER", str(DOCKER / mounted[folder]))
    assert (made.loops / "re_engagement.yaml").is_file()


def test_the_connections_are_the_ones_that_the_loops_use() -> None:
    loop = yaml.safe_load((ROOT / "loops" / "re_engagement.yaml").read_text(encoding="utf-8"))
    used = {"AIRFLOW_CONN_SKENE_SOURCE", f"AIRFLOW_CONN_{loop['steps'][0]['action']['provider'].upper()}_DEFAULT"}
    used.add("AIRFLOW_CONN_HASURA_DEFAULT")
    for name, service in OURS.items():
        assert {key for key in service["environment"] if key.startswith("AIRFLOW_CONN_")} == used, name


def test_hasura_and_airflow_share_their_secrets() -> None:
    theirs = SERVICES["hasura"]["environment"]
    for service in OURS.values():
        ours = json.loads(service["environment"]["AIRFLOW_CONN_HASURA_DEFAULT"])
        assert ours["password"] == theirs["HASURA_GRAPHQL_ADMIN_SECRET"]
        assert ours["extra"]["webhook_secret"] == theirs["SKENE_WEBHOOK_SECRET"]


@pytest.mark.parametrize("name", sorted(OURS))
def test_every_command_exists(name: str) -> None:
    service = OURS[name]
    entrypoint = service.get("entrypoint")
    if entrypoint:
        assert entrypoint[:2] == ["python", "-m"]
        assert importlib.util.find_spec(entrypoint[2]) is not None
        assert entrypoint[2].split(".")[0] in copied()
    else:
        program, command = service["command"].split()[:2]
        assert program == "airflow"
        assert command in airflow_commands()


def test_hosts_in_addresses_are_services() -> None:
    text = (DOCKER / "compose.yaml").read_text(encoding="utf-8")
    hosts = set(re.findall(r"@([\w-]+):\d+/", text)) | set(re.findall(r'"host": "([\w-]+)"', text))
    hosts |= set(re.findall(r"https?://([a-z-]+):\d+", text)) - {"localhost"}
    assert hosts
    assert hosts <= set(SERVICES)


def test_every_database_in_an_address_is_created() -> None:
    text = (DOCKER / "compose.yaml").read_text(encoding="utf-8")
    created = re.findall(r"CREATE DATABASE (\w+);", (DOCKER / "postgres" / "databases.sql").read_text(encoding="utf-8"))
    assert set(re.findall(r"@postgres:5432/(\w+)", text)) == set(created)
