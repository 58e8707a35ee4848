"""What people install: the wheel, built from this tree, holds every file that the package reads at run time."""

from __future__ import annotations

import shutil
import subprocess
import sys
from email.parser import BytesParser
from pathlib import Path
from zipfile import ZipFile

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> ZipFile:
    """The wheel of a copy of the tree, so that the build leaves nothing behind here."""
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE", "NOTICE"):
        shutil.copy(ROOT / name, source)
    shutil.copytree(ROOT / "skene_airflow", source / "skene_airflow", ignore=shutil.ignore_patterns("__pycache__"))
    build = [sys.executable, "-c", f"import setuptools.build_meta as b; b.build_wheel({str(target)!r})"]
    subprocess.run(build, cwd=source, check=True, capture_output=True)
    [file] = target.glob("*.whl")
    return ZipFile(file)


def test_every_file_of_the_package_ships(wheel: ZipFile) -> None:
    here = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "skene_airflow").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert {name for name in wheel.namelist() if ".dist-info/" not in name} == here
    assert "skene_airflow/py.typed" in here


def test_airflow_finds_the_provider(wheel: ZipFile) -> None:
    [name] = [name for name in wheel.namelist() if name.endswith("entry_points.txt")]
    points = wheel.read(name).decode()
    assert "[apache_airflow_provider]\nprovider_info = skene_airflow.get_provider_info:get_provider_info" in points
    assert "[console_scripts]\nskene-airflow = skene_airflow.cli:main" in points


def test_the_metadata_names_python_and_licence(wheel: ZipFile) -> None:
    [name] = [name for name in wheel.namelist() if name.endswith(".dist-info/METADATA")]
    metadata = BytesParser().parsebytes(wheel.read(name))
    assert metadata["Name"] == "skene-airflow"
    assert set(metadata["Requires-Python"].split(",")) == {">=3.11", "<3.15"}
    assert metadata["License-Expression"] == "Apache-2.0"
    assert set(metadata.get_all("License-File", [])) == {"LICENSE", "NOTICE"}
