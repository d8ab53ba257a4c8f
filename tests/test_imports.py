"""Importing autotrack, and enabling it, costs little and loads no framework; the public names are whole."""

import importlib
import inspect
import os
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import autotrack

HEAVY = {"sklearn", "skops", "torch", "lightning", "numpy", "scipy", "pandas", "polars", "joblib", "rich", "click"}


def fresh(code: str, folder: Path, **env: str) -> str:
    """What a process of its own prints."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


def test_import_alone_loads_no_submodule_and_touches_no_file(tmp_path: Path):
    out = fresh(
        "import sys, threading\n"
        "before = set(sys.modules)\n"
        "import autotrack\n"
        "print(sorted(set(sys.modules) - before - set(sys.stdlib_module_names)))\n"
        "print(threading.active_count())\n",
        tmp_path,
    )
    loaded = out.splitlines()[0]
    ours = [name for name in eval(loaded) if name.partition(".")[0] not in sys.stdlib_module_names]
    assert ours == ["autotrack"]
    assert out.splitlines()[1] == "1"
    assert list(tmp_path.iterdir()) == []


def test_enable_loads_no_framework_and_makes_no_file_and_no_thread(tmp_path: Path):
    out = fresh(
        "import sys, threading, autotrack\n"
        "autotrack.enable()\n"
        f"print(sorted({HEAVY!r} & set(sys.modules)))\n"
        "print(sorted(name for name in sys.modules if name.startswith('autotrack_') and '.' in name))\n"
        "print(threading.active_count())\n",
        tmp_path,
    )
    waiting = {f"autotrack_{name}.integration" for name in ("joblib", "lightning", "sklearn")}
    frameworks, plugins, threads = out.splitlines()
    assert (frameworks, threads) == ("[]", "1")
    assert set(eval(plugins)) == {*waiting, "autotrack_joblib.worker"}  # what records comes with its framework
    assert list(tmp_path.iterdir()) == []


def test_enable_is_quick(tmp_path: Path):
    """The exact figure (25 ms) is benchmarks/bench_import.py's to measure; this holds on a busy or slow machine too."""
    timed = "import time; t = time.process_time(); {}; print(time.process_time() - t)"
    needed = "import importlib.metadata, msgspec, pluggy; list(importlib.metadata.entry_points(group='autotrack'))"
    cached = {"PYTHONPYCACHEPREFIX": str(tmp_path / "compiled"), "PYTHONDONTWRITEBYTECODE": ""}
    least = {"needed": 9.0, "enable": 9.0}
    for _ in range(20):
        for name, code in (("needed", needed), ("enable", "import autotrack; autotrack.enable()")):
            least[name] = min(least[name], float(fresh(timed.format(code), tmp_path, **cached)))
        if least["enable"] - least["needed"] < max(0.060, least["needed"]):
            break
    assert least["enable"] - least["needed"] < max(0.060, least["needed"])


def test_all_is_sorted_and_is_what_the_lazy_table_offers():
    lazy = [name for names in autotrack._HOMES.values() for name in names]
    assert len(lazy) == len(set(lazy))
    assert sorted([*lazy, "__version__"]) == autotrack.__all__
    assert dir(autotrack) == autotrack.__all__


def test_each_public_name_is_found_and_documented():
    for name in autotrack.__all__:
        value = getattr(autotrack, name)
        if name != "__version__":
            assert (inspect.getdoc(value) or "").strip(), f"{name} has no docstring"
            assert not (inspect.isclass(value) and value.__doc__ is None), f"{name} has only an inherited docstring"


def test_public_methods_are_documented():
    for cls in (autotrack.Run, autotrack.RunRecord, autotrack.RunList, autotrack.Integration, autotrack.PatchSet):
        for name, member in inspect.getmembers(cls, inspect.isfunction):
            if not name.startswith("_") and member.__module__.startswith("autotrack"):
                assert inspect.getdoc(member), f"{cls.__name__}.{name} has no docstring"


def test_what_the_type_checker_sees_is_what_is_loaded():
    """The imports under TYPE_CHECKING name the same homes as the table."""
    import ast

    tree = ast.parse(Path(autotrack.__file__).read_text())
    block = next(node for node in tree.body if isinstance(node, ast.If))
    seen = {
        node.module: tuple(alias.name for alias in node.names)
        for node in block.body
        if isinstance(node, ast.ImportFrom)
    }
    assert {home: sorted(names) for home, names in seen.items()} == {
        home: sorted(names) for home, names in autotrack._HOMES.items()
    }


def test_no_public_name_is_also_a_module():
    """Importing a submodule sets an attribute of the package: it would take the name's place."""
    modules = {module.name for module in pkgutil.iter_modules(autotrack.__path__)}
    assert modules & set(autotrack.__all__) == set()


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'log_metric'"):
        autotrack.log_metric  # noqa: B018


def test_every_module_says_what_is_public():
    for module in pkgutil.walk_packages(autotrack.__path__, "autotrack."):
        if module.name.endswith("__main__"):
            continue
        loaded = importlib.import_module(module.name)
        assert loaded.__doc__, f"{module.name} has no docstring"
        for name in getattr(loaded, "__all__", ()):
            assert hasattr(loaded, name), f"{module.name}.__all__ names {name}, which is not there"


def test_star_import(tmp_path: Path):
    assert fresh("from autotrack import *\nprint(callable(enable), callable(start_run))", tmp_path) == "True True\n"
