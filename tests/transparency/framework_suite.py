"""A framework's own tests with and without recording: every test must end the same way.

    python tests/transparency/framework_suite.py sklearn.tests.test_base sklearn.tests.test_pipeline

Each mode runs in a process of its own, both at once; errors of ours are raised (``AUTOTRACK_STRICT=1``).
Prints the tests whose outcome or warnings differ, and exits 1 where there are any. This file is also the
pytest plugin that enables recording and writes the outcomes down.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

STORE = "FRAMEWORK_SUITE_STORE"  # environment: where to record; absent: do not
OUTCOMES = "FRAMEWORK_SUITE_OUTCOMES"  # environment: the file to write


# ---- the pytest plugin -----------------------------------------------------------------------------------------------

_seen: dict[str, dict[str, Any]] = {}


def pytest_configure(config: Any) -> None:
    if STORE in os.environ:
        import autotrack

        autotrack.enable(store=os.environ[STORE], experiment="suite")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: Any) -> None:
    """Some tests draw from the global generators without seeding them: both modes shall draw the same."""
    random.seed(0)
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed(0)


def pytest_runtest_logreport(report: Any) -> None:
    entry = _seen.setdefault(report.nodeid, {"outcomes": {}, "warnings": []})
    entry["outcomes"][report.when] = report.outcome
    if report.failed:
        entry["why"] = str(report.longrepr)[-1500:]


def pytest_warning_recorded(warning_message: Any, nodeid: str) -> None:
    if issubclass(warning_message.category, ResourceWarning):
        return  # they come when the garbage collector does
    place = f"{Path(warning_message.filename).name}:{warning_message.lineno}"
    entry = _seen.setdefault(nodeid, {"outcomes": {}, "warnings": []})
    entry["warnings"].append(f"{warning_message.category.__name__} at {place}")


def pytest_sessionfinish(session: Any) -> None:
    if OUTCOMES in os.environ:
        Path(os.environ[OUTCOMES]).write_text(json.dumps(_seen))


# ---- the program -----------------------------------------------------------------------------------------------------


def _start(modules: list[str], folder: Path, record: bool) -> subprocess.Popen[bytes]:
    folder.mkdir()
    env = {**os.environ, OUTCOMES: str(folder / "outcomes.json"), "AUTOTRACK_STRICT": "1"}
    env["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parent), *filter(None, [env.get("PYTHONPATH")])])
    env.pop(STORE, None)
    if record:
        env[STORE] = str(folder / "store")
    command = [sys.executable, "-m", "pytest", "--pyargs", *modules, "-p", "framework_suite", "-q", "--no-header"]
    command += ["-p", "no:randomly", "-p", "no:cacheprovider", "-p", "no:xdist", "-c", os.devnull]
    command += ["--rootdir", folder.anchor]  # else tests of two modules have the same id
    with (folder / "log").open("wb") as log:
        return subprocess.Popen(command, cwd=folder, env=env, stdout=log, stderr=log)


def compare(modules: list[str], timeout: float = 3600) -> tuple[int, int, list[str]]:
    """(tests, runs recorded, what differs in words) of a framework's test modules."""
    with tempfile.TemporaryDirectory() as name:
        folders = {mode: Path(name, mode) for mode in ("plain", "recorded")}
        processes = {mode: _start(modules, folder, mode == "recorded") for mode, folder in folders.items()}
        try:
            for process in processes.values():
                process.wait(timeout)
        finally:
            for process in processes.values():
                process.kill()
                process.wait()
        results = {}
        for mode, folder in folders.items():
            path = folder / "outcomes.json"
            if not path.exists():
                return 0, 0, [f"pytest failed in mode {mode}: {(folder / 'log').read_text()[-3000:]}"]
            results[mode] = json.loads(path.read_text())
        plain, recorded = results["plain"], results["recorded"]
        runs = len(list((folders["recorded"] / "store" / "runs").glob("*")))
    tests = sum(bool(entry["outcomes"]) for entry in plain.values())
    return tests, runs, _differences(plain, recorded)


def _differences(plain: dict[str, Any], recorded: dict[str, Any]) -> list[str]:
    found = []
    nothing: dict[str, Any] = {"outcomes": {}, "warnings": []}
    for test in sorted({*plain, *recorded}):
        one, other = plain.get(test, nothing), recorded.get(test, nothing)
        if one["outcomes"] != other["outcomes"]:
            why = other.get("why") or one.get("why", "")
            found.append(f"{test}: {one['outcomes']} without, {other['outcomes']} with recording\n{why}")
        elif sorted(one["warnings"]) != sorted(other["warnings"]):
            found.append(f"{test}: warns {one['warnings']} without, {other['warnings']} with recording")
    return found


def main() -> int:
    if len(sys.argv) < 2:
        print(__doc__)
        return 2
    tests, runs, found = compare(sys.argv[1:])
    print("\n\n".join(found))
    print(f"{tests} tests, {runs} runs recorded, {len(found)} differences")
    return 1 if found or not tests else 0


if __name__ == "__main__":
    sys.exit(main())
