"""Each setting from each place, its table in the docs, and variables that are misspelt."""

import ast
import inspect
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import autotrack
from autotrack import config
from autotrack.config import Settings, resolve
from autotrack.errors import ConfigError

DOCS = Path(__file__).parent.parent / "docs" / "settings.md"
NAMES = list(Settings.__struct_fields__)

# name: (in pyproject, as a variable, as an argument): what each is resolved to, all different from the default
VALUES = {
    "store": (('"memory://a"', "memory://a"), ("memory://b", "memory://b"), ("memory://c", "memory://c")),
    "experiment": (('"a"', "a"), ("b", "b"), ("c", "c")),
    "integrations": (('["a"]', ("a",)), ("b,c", ("b", "c")), (["d"], ("d",))),
    "mode": (('"off"', "off"), ("off", "off"), ("on", "on")),
    "models": (('"never"', "never"), ("always", "always"), ("auto", "auto")),
    "training_metrics": (("true", True), ("0", False), (True, True)),
    "input_example": (("true", True), ("no", False), (True, True)),
    "redact": (('["a,b"]', ("a,b",)), ("c,d\ne", ("c,d", "e")), (["f"], ("f",))),
    "announce": (("false", False), ("on", True), (False, False)),
    "model_max_mb": (("1", 1.0), ("2.5", 2.5), (3, 3.0)),
    "session_max_gb": (("1.5", 1.5), ("2", 2.0), (0, 0.0)),
    "store_max_gb": (("0", 0.0), ("1e3", 1000.0), (0.5, 0.5)),
    "norms": (("true", True), ("0", False), (True, True)),
    "dask": (("true", True), ("0", False), (True, True)),
    "max_children": (("5", 5), ("20", 20), (0, 0)),
    "exit_wait": (("0", 0.0), ("2.5", 2.5), (3, 3.0)),
}


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in list(os.environ):
        if name.startswith("AUTOTRACK_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_every_setting_is_tried_here():
    assert list(VALUES) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_argument_over_environment_over_pyproject_over_default(project, monkeypatch, name):
    (text, from_file), (variable, from_environment), (argument, from_argument) = VALUES[name]
    default = getattr(Settings(), name)
    assert getattr(resolve(), name) == default
    (project / "pyproject.toml").write_text(f"[tool.autotrack]\n{name} = {text}\n")
    assert getattr(resolve(), name) == from_file != default
    monkeypatch.setenv(f"AUTOTRACK_{name.upper()}", variable)
    assert getattr(resolve(), name) == from_environment
    assert getattr(resolve(**{name: argument}), name) == from_argument
    (project / "pyproject.toml").unlink()
    assert getattr(resolve(), name) == from_environment
    monkeypatch.setenv(f"AUTOTRACK_{name.upper()}", "")
    assert getattr(resolve(), name) == default


@pytest.mark.parametrize("name", ["model_max_mb", "session_max_gb", "store_max_gb"])
@pytest.mark.parametrize("value", ["-1", "nan", "inf", "many", "1 GB"])
def test_a_limit_that_is_no_number(monkeypatch, name, value):
    monkeypatch.setenv(f"AUTOTRACK_{name.upper()}", value)
    with pytest.raises(ConfigError, match=f"{name} in the environment must be a number"):
        resolve()


@pytest.mark.parametrize("value", ["-1", "1.5", "many", "²"])
def test_a_number_of_children_that_is_none(monkeypatch, value):
    monkeypatch.setenv("AUTOTRACK_MAX_CHILDREN", value)
    with pytest.raises(ConfigError, match="max_children in the environment must be a whole number"):
        resolve()


# ---- variables that are misspelt -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("AUTOTRACK_STROE", "AUTOTRACK_STORE"),
        ("AUTOTRACK_MODEL", "AUTOTRACK_MODELS"),
        ("AUTOTRACK_EXPERIMENTS", "AUTOTRACK_EXPERIMENT"),
        ("AUTOTRACK_PLUGIN", "AUTOTRACK_PLUGINS"),
        ("AUTOTRACK_STRIKT", "AUTOTRACK_STRICT"),
        ("AUTOTRACK_store", "AUTOTRACK_STORE"),
    ],
)
def test_a_misspelt_variable_is_an_error_that_suggests_the_near_one(monkeypatch, wrong, right):
    monkeypatch.setenv(wrong, "x")
    with pytest.raises(ConfigError, match=rf"^{wrong} in the environment .* did you mean {right}\?$"):
        resolve()


@pytest.mark.parametrize(
    "name", ["STRICT", "PLUGINS", "TRACE_PLUGINS", "SERVICE_HOST", "PORT", "PORT_80_TCP", "SERVICE_PORT_HTTP", "S3_KEY"]
)
def test_variables_that_are_no_settings_are_left_alone(monkeypatch, name):
    monkeypatch.setenv(f"AUTOTRACK_{name}", "x")
    assert resolve() == Settings()


def test_the_command_line_tells_it_in_one_line(project):
    done = subprocess.run(
        [sys.executable, "-m", "autotrack", "ls"],
        cwd=project, env={**os.environ, "AUTOTRACK_STROE": "/data"}, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("autotrack: AUTOTRACK_STROE ")
    assert done.stderr.count("\n") == 1


# ---- the table in the docs -----------------------------------------------------------------------------------------


def table() -> dict[str, list[str]]:
    """Cells of the first table, by the name in pyproject."""
    text = DOCS.read_text().split("Booleans are")[0]
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("| ")
    ]
    return {row[2].strip("`"): row for row in rows[1:]}


def test_the_table_holds_every_setting_in_order_and_no_other():
    assert list(table()) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_the_table_says_what_the_code_does(name):
    argument, variable, _, default, meaning = table()[name]
    arguments = inspect.signature(autotrack.enable).parameters
    assert argument == (f"`{name}`" if name in arguments else "-")
    assert variable == f"`AUTOTRACK_{name.upper()}`"
    assert ast.literal_eval(default.strip("`")) == getattr(Settings(), name)
    assert meaning.endswith(".")


def test_the_docs_name_the_variables_that_are_no_settings():
    rest = DOCS.read_text().split("Booleans are")[1]
    assert sorted(re.findall(r"^\| `AUTOTRACK_(\w+)`", rest, re.MULTILINE)) == sorted(map(str.upper, config._VARIABLES))


def test_every_variable_that_the_code_reads_is_known():
    root = Path(autotrack.__file__).parent
    read = {
        name
        for path in root.rglob("*.py")
        for name in re.findall(r"environ(?:\.get)?[\[(]\"AUTOTRACK_(\w+)", path.read_text())
    }
    assert read <= {name.upper() for name in (*NAMES, *config._VARIABLES)}
    assert {"STRICT", "PLUGINS", "TRACE_PLUGINS"} <= read
