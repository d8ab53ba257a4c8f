"""The wheel: what is in it and what is not."""

import email
import importlib.util
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import autotrack

ROOT = Path(__file__).parent.parent


def test_py_typed_lies_in_every_package():
    assert (ROOT / "autotrack" / "py.typed").is_file()
    for package in (ROOT / "plugins").glob("autotrack_*/__init__.py"):
        assert (package.parent / "py.typed").is_file(), package.parent.name


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The wheel of this checkout, built without network."""
    if importlib.util.find_spec("hatchling") is None or importlib.util.find_spec("pip") is None:
        pytest.skip("needs pip and hatchling")
    folder = tmp_path_factory.mktemp("wheel")
    done = subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--no-build-isolation", "--no-deps", "--no-index", "-w", folder, ROOT],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    (path,) = folder.glob("*.whl")
    return zipfile.ZipFile(path)


@pytest.mark.slow
def test_the_wheel_holds_the_packages_and_nothing_else(wheel: zipfile.ZipFile):
    names = wheel.namelist()
    tops = {name.partition("/")[0] for name in names}
    info = f"autotrack_ml-{autotrack.__version__}.dist-info"
    plugins = {package.parent.name for package in (ROOT / "plugins").glob("autotrack_*/__init__.py")}
    assert tops == {"autotrack", info, *plugins}
    for package in ("autotrack", *plugins):
        assert f"{package}/py.typed" in names
    for folder in ("autotrack", *(f"plugins/{plugin}" for plugin in plugins)):
        for source in (ROOT / folder).rglob("*.py"):
            assert source.relative_to(ROOT).as_posix().removeprefix("plugins/") in names
    assert not [name for name in names if "test_" in name or name.endswith((".pyc", ".jsonl"))]
    assert f"{info}/licenses/LICENSE" in names


@pytest.mark.slow
def test_the_wheel_says_what_it_is(wheel: zipfile.ZipFile):
    info = f"autotrack_ml-{autotrack.__version__}.dist-info"
    about = email.message_from_bytes(wheel.read(f"{info}/METADATA"))
    assert about["Name"] == "autotrack-ml"
    assert about["Version"] == autotrack.__version__
    assert about["License-Expression"] == "Apache-2.0"
    assert about["Requires-Python"] == ">=3.11"
    needed = [line for line in about.get_all("Requires-Dist") if "extra ==" not in line]
    assert sorted(line.partition(">")[0] for line in needed) == ["click", "msgspec", "pluggy", "rich"]
    assert {"sklearn", "all", "dev"} <= set(about.get_all("Provides-Extra"))
    entries = wheel.read(f"{info}/entry_points.txt").decode()
    assert "[autotrack]\n" in entries
    assert "sklearn = autotrack_sklearn\n" in entries
    assert "autotrack = autotrack.cli.main:main\n" in entries
