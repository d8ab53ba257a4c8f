"""The quick tests on other Pythons and on the oldest scikit-learn, with slow ones that differ: what needs no torch.

    python tests/matrix.py              # every row
    python tests/matrix.py 3.12 3.13    # these Pythons

Each row has a virtual environment of its own below ``.venv-matrix/``, kept for the next time, and prints one
line: interpreter, versions, how many tests passed, seconds. A row whose interpreter is not on this machine is
named and left out. Exits 1 where a test failed, or where no row could run.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent
PLACE = ROOT / ".venv-matrix"
LIMIT = 1800  # seconds for the tests of a row; on two idle cores they take a tenth of it


class Row(NamedTuple):
    """A Python, and what is asked for beside the newest of everything."""

    python: str
    requirements: tuple[str, ...] = ()

    @property
    def folder(self) -> Path:
        return PLACE / "-".join([self.python, *self.requirements]).replace("=", "").replace("*", "x").replace("<", "-")


ROWS = (
    Row("3.11", ("scikit-learn==1.5.*", "numpy<2", "scipy<1.14")),  # the oldest, with the numpy of its time
    Row("3.12"),
    Row("3.13"),
    Row("3.14"),
)

# These need torch, or say the same on every Python: they build wheels, run benchmarks, or look at the text of this
# repository.
LEFT_OUT = (
    "tests/benchmarks",
    "tests/plugins/lightning",
    "tests/plugins/torch",
    "tests/test_clean_install.py",
    "tests/test_docs.py",
    "tests/test_packaging.py",
    "tests/transparency/test_frameworks.py",
)


def interpreter(version: str) -> str | None:
    """An interpreter of this version: on the path, or one that pyenv has."""
    for candidate in _candidates(version):
        asked = [candidate, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]
        try:
            said = subprocess.run(asked, capture_output=True, text=True, timeout=60, check=False).stdout
        except OSError:
            continue
        if said.strip() == version:
            return candidate
    return None


def _candidates(version: str) -> Iterator[str]:
    yield sys.executable
    for name in (f"python{version}", "python3"):
        if found := shutil.which(name):
            yield found
    if shutil.which("pyenv"):  # what is on the path is then a shim, which may refuse
        known = subprocess.run(["pyenv", "versions", "--bare"], capture_output=True, text=True, timeout=60, check=False)
        for name in reversed(known.stdout.split()):
            if name == version or name.startswith(f"{version}."):
                prefix = subprocess.run(
                    ["pyenv", "prefix", name], capture_output=True, text=True, timeout=60, check=False
                )
                yield str(Path(prefix.stdout.strip(), "bin", "python"))


def prepare(row: Row, python: str) -> str:
    """The interpreter of the row's environment; made anew when pyproject.toml, or what is asked for, changed."""
    made = str(row.folder / "bin" / "python")
    stamp = row.folder / "ready"
    wanted = hashlib.sha256((ROOT / "pyproject.toml").read_bytes() + repr((row, python)).encode()).hexdigest()
    if stamp.exists() and stamp.read_text() == wanted:
        return made
    _call([python, "-m", "venv", "--clear", str(row.folder)])
    install = [made, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    _call([*install, "-e", f"{ROOT}[sklearn,test]", "-e", str(ROOT / "plugins" / "example"), *row.requirements])
    stamp.write_text(wanted)
    return made


def _call(command: list[str]) -> None:
    done = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=1800, check=False
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}\n{done.stdout}")


def run(row: Row) -> bool | None:
    """Whether the row's tests passed; None where there is no such Python."""
    python = interpreter(row.python)
    if python is None:
        print(f"Python {row.python}: not on this machine, left out", flush=True)
        return None
    python = prepare(row, python)
    versions = (
        "import platform, sklearn, numpy; print(platform.python_version(), sklearn.__version__, numpy.__version__)"
    )
    said = subprocess.run([python, "-c", versions], capture_output=True, text=True, timeout=120, check=True).stdout
    command = [python, "-m", "pytest", "-q", "-n", "2", "-m", "not slow or every_python", "-p", "no:cacheprovider"]
    log = row.folder / "log"
    started = time.monotonic()
    # the environment's own programs come first, as when it is activated
    env = {**os.environ, "PATH": os.pathsep.join([str(row.folder / "bin"), os.environ["PATH"]])}
    with log.open("w") as output:
        try:
            code = subprocess.run(
                [*command, *(f"--ignore={path}" for path in LEFT_OUT)],
                cwd=ROOT, env=env, stdout=output, stderr=output, timeout=LIMIT, check=False,
            ).returncode  # fmt: skip
        except subprocess.TimeoutExpired:
            code = -1
            output.write(f"\nnot done after {LIMIT} s")
    lines = log.read_text(errors="replace").splitlines()
    names = dict(zip(("Python", "scikit-learn", "numpy"), said.split(), strict=True))
    words = ", ".join(f"{name} {version}" for name, version in names.items())
    print(f"{words}: {lines[-1].strip('= ')} ({time.monotonic() - started:.0f} s)", flush=True)
    if code:
        print("\n".join(lines[-200:]), flush=True)
    return code == 0


def main() -> int:
    asked = sys.argv[1:]
    if unknown := {*asked} - {row.python for row in ROWS}:
        print(f"no row for {', '.join(sorted(unknown))}; there are {', '.join(row.python for row in ROWS)}")
        return 2
    results = [run(row) for row in ROWS if not asked or row.python in asked]
    return 0 if all(result is not False for result in results) and any(results) else 1


if __name__ == "__main__":
    sys.exit(main())
