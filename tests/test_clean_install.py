"""A wheel of this checkout in an environment of its own, without any framework."""

import importlib.util
import json
import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest

import autotrack

ROOT = Path(__file__).parent.parent
pytestmark = pytest.mark.slow

USE = """
import sys
import autotrack
autotrack.enable()
with autotrack.start_run("first") as run:
    run.log_params({"C": 1.0})
    autotrack.log_metrics({"loss": 0.25})
(record,) = autotrack.runs()
print(record.name, record.status, record.params, record.metrics)
"""


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bin folder of the environment."""
    if importlib.util.find_spec("hatchling") is None or importlib.util.find_spec("pip") is None:
        pytest.skip("needs pip and hatchling")
    folder = tmp_path_factory.mktemp("clean")
    build = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--no-build-isolation",
        "--no-deps",
        "--no-index",
        "-w",
        folder,
        ROOT,
    ]
    done = subprocess.run(build, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = folder.glob("*.whl")
    venv.create(folder / "env", with_pip=True)
    bin_folder = folder / "env" / "bin"
    install = [bin_folder / "python", "-m", "pip", "install", "--quiet", wheel]
    done = subprocess.run(install, capture_output=True, text=True, timeout=300)
    if done.returncode != 0 and "No matching distribution" in done.stderr:
        pytest.skip("no package index is reached")
    assert done.returncode == 0, done.stdout + done.stderr
    return bin_folder


def call(clean: Path, folder: Path, *command: str) -> "subprocess.CompletedProcess[str]":
    variables = {key: value for key, value in os.environ.items() if not key.startswith(("AUTOTRACK_", "PYTHON"))}
    return subprocess.run(
        [clean / command[0], *command[1:]],
        cwd=folder, env={**variables, "COLUMNS": "200"}, capture_output=True, text=True, timeout=300,
    )  # fmt: skip


def test_few_packages_come_along(clean: Path, tmp_path: Path):
    listed = json.loads(call(clean, tmp_path, "python", "-m", "pip", "list", "--format=json").stdout)
    names = {row["name"].lower() for row in listed} - {"pip", "setuptools"}
    assert len(names) <= 10, sorted(names)
    assert {"autotrack-ml", "msgspec", "pluggy"} <= names
    assert not names & {"numpy", "scikit-learn", "torch", "pandas", "skops"}


def test_it_enables_records_and_lists(clean: Path, tmp_path: Path):
    done = call(clean, tmp_path, "python", "-W", "error", "-c", USE)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "first finished {'C': 1.0} {'loss': 0.25}\n"
    listed = call(clean, tmp_path, "autotrack", "ls")
    assert listed.returncode == 0
    assert "first" in listed.stdout
    assert autotrack.get_run("first", store=tmp_path / ".autotrack").facts


def test_it_explains_itself(clean: Path, tmp_path: Path):
    assert "No runs here yet" in call(clean, tmp_path, "autotrack", "ls").stderr
    rows = json.loads(call(clean, tmp_path, "autotrack", "plugins", "--json").stdout)
    states = {row["plugin"]: (row["status"], row["why"]) for row in rows}
    assert states["sklearn"] == ("framework missing", "sklearn is not installed")
    assert states["joblib"] == ("framework missing", "joblib is not installed")
    done = call(clean, tmp_path, "autotrack", "doctor", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    assert {row["level"] for row in json.loads(done.stdout)} <= {"ok", "note"}
    done = call(clean, tmp_path, "autotrack", "demo")
    assert (done.returncode, done.stdout) == (1, "")
    assert "pip install 'autotrack-ml[sklearn]'" in done.stderr
    assert list(tmp_path.iterdir()) == []
