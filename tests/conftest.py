"""Errors of our own are never swallowed in tests; what runs in another process has helpers here."""

import os
import signal
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from autotrack.testing.fixtures import tracked  # noqa: F401  a fixture is found by its name

os.environ["AUTOTRACK_STRICT"] = "1"
for name in ("AUTOTRACK_STORE", "AUTOTRACK_MODE", "AUTOTRACK_EXPERIMENT", "AUTOTRACK_MODELS"):
    os.environ.pop(name, None)

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a job in a shell's background: what it starts would, too
    signal.signal(signal.SIGINT, signal.default_int_handler)

# However slow the machine is: no deadlines for an example, nor for making it up.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")

CACHE = tempfile.TemporaryDirectory(prefix="autotrack-cache-")  # of all tests here, and of the processes they start
os.environ["XDG_CACHE_HOME"] = CACHE.name

# tests/plugins/<framework> is left out where the framework is not installed, as in most rows of tests/matrix.py.
MISSING = [folder.name for folder in Path(__file__).parent.glob("plugins/[a-z]*/") if find_spec(folder.name) is None]
collect_ignore = [f"plugins/{name}" for name in MISSING]


def pytest_report_header() -> str:
    return f"left out, not installed: {', '.join(MISSING)}" if MISSING else ""


@pytest.fixture
def script(tmp_path: Path) -> Callable[..., "subprocess.CompletedProcess[str]"]:
    """Run a script as a user would, in a process of its own with ``tmp_path`` as working folder.

    ``script(code, *args, check=True, env={...})`` returns the CompletedProcess; with ``check`` a failure shows
    its output.
    """

    def run(code: str, *args: str, check: bool = True, env: dict[str, str] | None = None, timeout: float = 300):
        path = tmp_path / "train.py"
        path.write_text(textwrap.dedent(code))
        done = subprocess.run(
            [sys.executable, str(path), *args],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=timeout,
            env={**os.environ, **(env or {})},
        )
        if check:
            assert done.returncode == 0, done.stdout + done.stderr
        return done

    return run


@pytest.fixture
def kernel(tmp_path: Path):
    """Start Jupyter kernels in ``tmp_path / "work"``."""
    from tests.kernels import Kernel

    folder = tmp_path / "work"
    folder.mkdir()
    kernels = []

    def start(**environment: str):
        kernels.append(Kernel(folder, **environment))
        return kernels[-1]

    yield start
    for one in kernels:
        one.close()
