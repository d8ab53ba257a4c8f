"""The benchmarks can be run: their harness, with the shortest of them, and what it computes."""

import importlib.util
import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture
def common() -> Iterator[ModuleType]:
    """benchmarks/common.py as a module, whose neighbours are found only meanwhile."""
    names = set(sys.modules)
    sys.path.insert(0, str(BENCHMARKS))
    try:
        spec = importlib.util.spec_from_file_location("benchmarks_common", BENCHMARKS / "common.py")
        assert spec is not None
        assert spec.loader is not None
        module = sys.modules["benchmarks_common"] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        yield module
    finally:
        sys.path.remove(str(BENCHMARKS))
        for name in ("benchmarks_common", "processes"):
            if name not in names:
                sys.modules.pop(name, None)


def run(program: Path, *options: str) -> "subprocess.CompletedProcess[str]":
    path = os.pathsep.join([str(BENCHMARKS), *os.environ.get("PYTHONPATH", "").split(os.pathsep)])
    return subprocess.run(
        [sys.executable, str(program), *options],
        capture_output=True,
        text=True,
        timeout=180,
        env={**os.environ, "PYTHONPATH": path},
    )


def test_a_run_of_two_benchmarks(tmp_path: Path):
    """One round each, without the peers: a table, the same in the file, a JSON line per figure."""
    results = tmp_path / "RESULTS.md"
    done = run(BENCHMARKS / "run.py", "disabled", "durable", "--rounds=1", "--no-peers", f"--results={results}")
    lines = [json.loads(line) for line in (tmp_path / "results.jsonl").read_text().splitlines()]
    assert done.returncode == any(line["met"] is False for line in lines), done.stderr
    assert not [line for line in lines if "FAILED" in line["case"]], done.stderr
    by_case = {line["case"]: line for line in lines}
    assert len(by_case) == len(lines) == 6
    assert by_case["bytes a point: autotrack"]["met"] is True
    for line in lines:
        assert line["min"] <= line["median"] <= line["high"]
        assert line["n"] >= 1
        assert line["versions"]["autotrack-ml"]
        assert line["machine"]["cores"]
        assert line["case"] in done.stdout
    assert done.stdout.strip() in results.read_text()


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(path.name for path in BENCHMARKS.glob("bench_*.py")))
def test_each_says_what_it_compares(name: str):
    """And loads, without doing anything, where not even its libraries are asked for."""
    done = run(BENCHMARKS / name, "--help")
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.partition("\n\n")[2]) > 100


BAD = """
    '''A benchmark whose case fails, one whose library is not there, and one that is well.'''
    from common import Case, bench, emit

    def bad(folder):
        yield {"seconds": [1.0]}
        raise ValueError("the reason")

    def good(folder):
        while True:
            yield {"seconds": [1.0, 3.0]}

    CASES = {"good": Case(good), "not here": Case(bad, needs=("no-such-distribution",))}
"""


def test_what_is_not_installed_is_left_out(tmp_path: Path):
    program = tmp_path / "bench_left_out.py"
    program.write_text(
        textwrap.dedent(BAD)
        + 'bench(CASES, lambda found: emit("well", found["good"]["seconds"], "ms"), rounds=2, seconds=60)\n'
    )
    done = run(program)
    assert done.returncode == 0, done.stderr
    assert "not here is left out: no-such-distribution is not installed" in done.stderr
    line = json.loads(done.stdout)
    assert (line["n"], line["min"], line["median"], line["unit"]) == (4, 1000.0, 2000.0, "ms")


def test_a_case_that_fails_says_why(tmp_path: Path):
    program = tmp_path / "bench_bad.py"
    program.write_text(textwrap.dedent(BAD) + 'bench({"bad": Case(bad)}, print, rounds=2, seconds=60)\n')
    done = run(program)
    assert done.returncode == 1
    assert "bench_bad.py, case 'bad' failed" in done.stderr
    assert "ValueError: the reason" in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("count", "low", "high", "confidence"),
    [(5, 0, 4, 0.9375), (6, 0, 5, 0.96875), (9, 1, 7, 0.9609), (100, 39, 60, 0.9648)],
    ids=["five", "six", "nine", "hundred"],
)
def test_the_interval_of_a_median(common: ModuleType, count: int, low: int, high: int, confidence: float):
    """Ranks as tables of the sign test give them."""
    found = common.interval([float(value) for value in reversed(range(count))])
    assert found[:2] == (low, high)
    assert found[2] == pytest.approx(confidence, abs=1e-4)


def test_cases_take_turns(common: ModuleType):
    order: list[str] = []
    results = common.in_turns({name: lambda name=name: order.append(name) or len(order) for name in "abc"}, 3)
    assert order == ["a", "b", "c", "b", "c", "a", "c", "a", "b"]
    assert results == {"a": [1, 6, 8], "b": [2, 4, 9], "c": [3, 5, 7]}


def test_a_ratio_to_nothing_is_not_met(common: ModuleType, capsys: pytest.CaptureFixture[str]):
    common.emit_ratio("well", [8.0] * 9, [2.0] * 9, at_least=4.0)
    common.emit_ratio("noise", [8.0] * 9, [-1.0] * 9, at_least=4.0)
    well, noise = map(json.loads, capsys.readouterr().out.splitlines())
    assert (well["median"], well["low"], well["high"], well["met"]) == (4.0, 4.0, 4.0, True)
    assert (noise["median"], noise["met"]) == (None, False)
