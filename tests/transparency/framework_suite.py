"""A framework's own tests with and without recording: every test must end the same way.

    python tests/transparency/framework_suite.py sklearn.tests.test_base sklearn.tests.test_pipeline
    python tests/transparency/framework_suite.py --part 40 sklearn.tests.test_common  # one test in 40

Each mode runs in a process of its own, both at once; errors of ours are raised (``AUTOTRACK_STRICT=1``).
Where a test differs, the modules run once more without recording: a test that differs from itself says
nothing of us. Prints the tests whose outcome or warnings differ, and exits 1 where there are any that
``EXPLAINED`` does not give a reason for. This file is also the pytest plugin that enables recording and
writes the outcomes down.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import zlib
from pathlib import Path
from typing import Any, NamedTuple

import pytest

STORE = "FRAMEWORK_SUITE_STORE"  # environment: where to record; absent: do not
OUTCOMES = "FRAMEWORK_SUITE_OUTCOMES"  # environment: the file to write
PART = "FRAMEWORK_SUITE_PART"  # environment: one test in so many is run

# Differences that are no defect: part of a test's name, and why it differs.
EXPLAINED: dict[str, str] = {}


# ---- the pytest plugin -----------------------------------------------------------------------------------------------

_seen: dict[str, dict[str, Any]] = {}


def pytest_configure(config: Any) -> None:
    if STORE in os.environ:
        import autotrack

        autotrack.enable(store=os.environ[STORE], experiment="suite")


def pytest_collection_modifyitems(items: list[Any]) -> None:
    """The same part of the tests in each mode and on each machine."""
    part = int(os.environ.get(PART, "1"))
    items[:] = [item for item in items if zlib.crc32(item.nodeid.rpartition("/")[2].encode()) % part == 0]


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


class Comparison(NamedTuple):
    """How a suite ended with and without recording.

    Attributes:
        tests: How many were run.
        runs: How many runs were recorded.
        found: What differs, in words.
        unstable: Tests that differ from themselves without recording.
    """

    tests: int
    runs: int
    found: list[str]
    unstable: list[str]


def _start(modules: list[str], folder: Path, record: bool, part: int) -> subprocess.Popen[bytes]:
    folder.mkdir()
    env = {**os.environ, OUTCOMES: str(folder / "outcomes.json"), "AUTOTRACK_STRICT": "1", PART: str(part)}
    env["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parent), *filter(None, [env.get("PYTHONPATH")])])
    env.pop(STORE, None)
    if record:
        env[STORE] = str(folder / "store")
    command = [sys.executable, "-m", "pytest", "--pyargs", *modules, "-p", "framework_suite", "-q", "--no-header"]
    command += ["-p", "no:randomly", "-p", "no:cacheprovider", "-p", "no:xdist", "-c", os.devnull]
    command += ["--rootdir", folder.anchor]  # else tests of two modules have the same id
    with (folder / "log").open("wb") as log:
        return subprocess.Popen(command, cwd=folder, env=env, stdout=log, stderr=log)


def compare(modules: list[str], timeout: float = 3600, part: int = 1) -> Comparison:
    """Run a framework's test modules, or one test in ``part`` of them, with and without recording.

    Args:
        modules: Importable names of test modules or of packages of them.
        timeout: Seconds for each run of them.
        part: One test in so many is run.
    """
    with tempfile.TemporaryDirectory() as name:
        try:
            plain, recorded = _outcomes(modules, Path(name), ("plain", "recorded"), timeout, part)
            unstable: set[str] = set()
            if _differences(plain, recorded):
                (again,) = _outcomes(modules, Path(name), ("again",), timeout, part)
                unstable = set(_differences(plain, again))
        except RuntimeError as error:
            return Comparison(0, 0, [str(error)], [])
        runs = len(list(Path(name, "recorded", "store", "runs").glob("*")))
    found = [
        words
        for test, words in _differences(plain, recorded).items()
        if test not in unstable and not any(known in test for known in EXPLAINED)
    ]
    return Comparison(sum(bool(entry["outcomes"]) for entry in plain.values()), runs, found, sorted(unstable))


def _outcomes(modules: list[str], folder: Path, modes: tuple[str, ...], timeout: float, part: int) -> list[Any]:
    """What the tests did in each mode, all modes at once."""
    processes = {mode: _start(modules, folder / mode, mode == "recorded", part) for mode in modes}
    try:
        for process in processes.values():
            process.wait(timeout)
    finally:
        for process in processes.values():
            process.kill()
            process.wait()
    for mode in modes:
        if not (folder / mode / "outcomes.json").exists():
            raise RuntimeError(f"pytest failed in mode {mode}: {(folder / mode / 'log').read_text()[-3000:]}")
    return [json.loads((folder / mode / "outcomes.json").read_text()) for mode in modes]


def _differences(plain: dict[str, Any], other: dict[str, Any]) -> dict[str, str]:
    """Tests that did not end or warn the same, and how."""
    found = {}
    nothing: dict[str, Any] = {"outcomes": {}, "warnings": []}
    for test in sorted({*plain, *other}):
        first, second = plain.get(test, nothing), other.get(test, nothing)
        if first["outcomes"] != second["outcomes"]:
            why = second.get("why") or first.get("why", "")
            found[test] = f"{test}: {first['outcomes']} without, {second['outcomes']} with recording\n{why}"
        elif sorted(first["warnings"]) != sorted(second["warnings"]):
            found[test] = f"{test}: warns {first['warnings']} without, {second['warnings']} with recording"
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description="A framework's own tests with and without recording.")
    parser.add_argument("modules", nargs="+")
    parser.add_argument("--part", type=int, default=1, help="run one test in so many")
    given = parser.parse_args()
    result = compare(given.modules, part=given.part)
    print("\n\n".join(result.found))
    print(
        f"{result.tests} tests, {result.runs} runs recorded, {len(result.found)} differences, "
        f"{len(result.unstable)} differ from themselves {' '.join(result.unstable)}"
    )
    return 1 if result.found or not result.tests else 0


if __name__ == "__main__":
    sys.exit(main())
