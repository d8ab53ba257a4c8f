"""What a recorded fit and a scalar cost, counted: system calls, files, records, allocations, bytes.

Times are for benchmarks/ to measure; the two bounds here only catch what is wrong by an order of magnitude.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import textwrap
import tracemalloc
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression

import autotrack
from autotrack.backends.housekeeping import housekeeper

POINTS = 2_000
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}  # those of BLAS spin and wait by futex


def journal(store: Path, run_id: str) -> Path:
    """The file of the training's own process; the helper, where it was quick, has one beside."""
    (path,) = [path for path in store.glob(f"runs/{run_id}/journal/*.jsonl") if b'{"k":"begin"' in path.read_bytes()]
    return path


@pytest.fixture
def traced(tmp_path: Path) -> Callable[..., list[list[str]]]:
    """``traced(code, *options)``: the lines of strace between the marks that the code makes, mark by mark.

    The code is run in a process of its own; ``mark()`` makes a mark. Without ``-f`` it is the main thread's calls.
    """
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("there is no strace here")
    if subprocess.run([strace, "-o", os.devnull, "true"], capture_output=True, timeout=60).returncode:
        pytest.skip("strace may not trace here")

    def run(code: str, *options: str) -> list[list[str]]:
        program = tmp_path / "train.py"
        program.write_text("import os\ndef mark(): os.access('/the/mark', 0)\n" + textwrap.dedent(code))
        log = tmp_path / "strace"
        done = subprocess.run(
            [strace, *options, "-o", log, sys.executable, program],
            cwd=tmp_path,
            env={**os.environ, **ONE_THREAD},
            capture_output=True,
            text=True,
            timeout=240,
        )
        assert done.returncode == 0, done.stderr
        parts: list[list[str]] = [[]]
        for line in log.read_text(errors="replace").splitlines():
            if "/the/mark" in line:
                parts.append([])
            else:
                parts[-1].append(line)
        assert len(parts) > 1, "the marks were not seen"
        return parts[1:]

    return run


def names(lines: list[str]) -> Counter[str]:
    """System calls by name, without those that a lock or the clock may make or not."""
    found = Counter(match[1] for line in lines if (match := re.match(r"(?:\d+ +)?(\w+)\(", line)))
    return Counter({name: count for name, count in found.items() if name not in ("futex", "brk", "mmap", "munmap")})


def test_a_scalar_is_one_write(traced: Callable[..., list[list[str]]]):
    """And a seal every 64 KiB. No file is opened, asked for or synced."""
    points, _ = traced(
        """
        import autotrack, time
        autotrack.enable(store="store")
        with autotrack.start_run() as run:
            run.log_metrics({"loss": 1.0}, step=0)
            mark()
            for step in range(1000):
                run.log_metrics({"loss": step / 3}, step=step)
            mark()
        """
    )
    calls = names(points)
    assert 1000 <= calls.pop("write") <= 1003
    assert sum(calls.values()) <= 10, calls  # a signal, the switch of a thread


@pytest.mark.slow
def test_system_calls_of_a_fit(traced: Callable[..., list[list[str]]]):
    """On the training thread: a folder, a journal and a line for each thing recorded; nothing is synced or sent."""
    fits, saved, _ = traced(
        """
        import autotrack, warnings
        from sklearn.datasets import load_iris
        from sklearn.linear_model import LogisticRegression
        warnings.simplefilter("ignore")
        X, y = load_iris(return_X_y=True)
        autotrack.enable(store="store", models="never")
        LogisticRegression().fit(X, y)
        mark()
        for _ in range(10):
            LogisticRegression().fit(X, y)
        mark()
        autotrack.enable(store="store", models="always")
        for _ in range(10):
            LogisticRegression().fit(X, y)
        mark()
        """
    )
    for part, most, writes, opened in ((fits, 40, 12, 4), (saved, 90, 16, 6)):
        calls = names(part)
        assert calls["write"] >= 10, "nothing was recorded"
        assert sum(calls.values()) / 10 <= most, calls
        assert calls["write"] / 10 <= writes, calls
        assert calls["openat"] / 10 <= opened, calls
        assert not calls.keys() & {"fsync", "fdatasync", "sync", "socket", "connect", "fork", "vfork"}, calls


@pytest.mark.slow
def test_nothing_is_sent_anywhere(traced: Callable[..., list[list[str]]]):
    """By no thread and no process that was started."""
    (calls,) = traced(
        """
        mark()
        import autotrack, warnings
        from sklearn.datasets import load_iris
        from sklearn.ensemble import RandomForestClassifier
        warnings.simplefilter("ignore")
        autotrack.enable(store="store", models="always")
        RandomForestClassifier(5).fit(*load_iris(return_X_y=True))
        autotrack.load_model("@last")
        """,
        "-f",
        "-e",
        "trace=/^f?access,/^connect$,/^execve$",
    )
    assert any("autotrack.helper" in line for line in calls), "its helper was not seen"
    assert not [line for line in calls if "AF_INET" in line]


def test_files_of_a_fit(script: Callable[..., subprocess.CompletedProcess[str]]):
    """By Python's audit hooks, where there is no strace."""
    done = script(
        """
        import collections, json, sys, threading, warnings
        import autotrack
        from sklearn.datasets import load_iris
        from sklearn.linear_model import LogisticRegression
        warnings.simplefilter("ignore")
        X, y = load_iris(return_X_y=True)
        autotrack.enable(store="store", models="always")
        LogisticRegression().fit(X, y)
        main, seen = threading.get_ident(), collections.Counter()
        def hook(event, args):
            if threading.get_ident() == main:
                seen[event] += 1
        sys.addaudithook(hook)
        for _ in range(10):
            LogisticRegression().fit(X, y)
        counted = dict(seen)
        print(json.dumps(counted))
        """,
        env=ONE_THREAD,
    )
    seen = json.loads(done.stdout)
    assert 10 <= seen["open"] <= 60
    assert 20 <= seen["os.mkdir"] <= 60
    assert not {event for event in seen if event.startswith(("socket.", "subprocess.", "os.fork", "os.posix_spawn"))}


def test_records_of_a_fit(tracked: Path):
    warnings.simplefilter("ignore")
    LogisticRegression().fit(*load_iris(return_X_y=True))
    run = autotrack.last_run()
    assert run is not None
    autotrack.disable()
    kinds = Counter(json.loads(line)["k"] for line in journal(tracked, run.id).read_bytes().splitlines())
    assert kinds["begin"] == kinds["params"] == kinds["model"] == kinds["end"] == 1
    assert kinds["m"] == 1, "its metrics come in one line"
    assert sum(kinds.values()) <= 20, kinds


def test_a_scalar_leaves_nothing_in_memory(tracked: Path):
    with autotrack.start_run() as run:
        for step in range(500):
            run.log_metrics({"loss": step / 3}, step=step)
        assert housekeeper.wait_idle(60)  # facts about the process are there
        tracemalloc.start()
        try:
            before, _ = tracemalloc.get_traced_memory()
            for step in range(10_000):
                run.log_metrics({"loss": step / 3}, step=step)
            after, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    # One float kept for each point would be 24 bytes.
    assert (after - before) / 10_000 < 16
    assert peak - before < 1_000_000


def test_bytes_of_a_point(tracked: Path):
    with autotrack.start_run() as run:
        run.log_metrics({"loss": 1.0}, step=0)
        assert housekeeper.wait_idle(60)
        size = journal(tracked, run.id).stat().st_size
        for step in range(1, POINTS + 1):
            run.log_metrics({"loss": step / 3}, step=step)
        size = journal(tracked, run.id).stat().st_size - size
    assert size / POINTS <= 80 + len("loss")


def test_the_order_of_magnitude(script: Callable[..., subprocess.CompletedProcess[str]]):
    """Of the best of a few, on a busy machine too: 5 us and 5 ms where it is idle."""
    done = script(
        """
        import time, warnings
        import autotrack
        from sklearn.datasets import load_iris
        from sklearn.linear_model import LogisticRegression
        warnings.simplefilter("ignore")
        X, y = load_iris(return_X_y=True)
        def best(function):
            times = []
            for _ in range(10):
                started = time.perf_counter()
                function()
                times.append(time.perf_counter() - started)
            return min(times)
        plain = best(lambda: LogisticRegression().fit(X, y))
        autotrack.enable(store="store")
        print(best(lambda: LogisticRegression().fit(X, y)) - plain)
        with autotrack.start_run() as run:
            print(best(lambda: [run.log_metrics({"loss": 0.1}, step=step) for step in range(100)]) / 100)
        """,
        env=ONE_THREAD,
    )
    fit, scalar = map(float, done.stdout.split())
    assert fit < 0.25
    assert scalar < 500e-6
