"""``import autotrack; autotrack.enable()`` in a fresh process, above what it cannot do without."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile

from common import added, emit, interleave

NEEDED = "import importlib.metadata, msgspec, pluggy; list(importlib.metadata.entry_points(group='autotrack'))"
CASES = {
    "nothing": "pass",
    "needed": NEEDED,
    "import": "import autotrack",
    "enable": "import autotrack; autotrack.enable()",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=40)
    repeats = parser.parse_args().repeats
    with tempfile.TemporaryDirectory() as folder:
        # Compiled code is cached, as in any installation, wherever this runs.
        environment = {key: value for key, value in os.environ.items() if not key.startswith("AUTOTRACK_")}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        environment["PYTHONPYCACHEPREFIX"] = os.path.join(folder, "compiled")  # noqa: PTH118

        def fresh(code: str) -> float:
            """Seconds that the code takes by its own clock, without the interpreter's start."""
            timed = f"import time; t = time.perf_counter()\n{code}\nprint(time.perf_counter() - t)"
            done = subprocess.run(
                [sys.executable, "-c", timed],
                cwd=folder, env=environment, check=True, capture_output=True, text=True, timeout=60,
            )  # fmt: skip
            return float(done.stdout)

        times = interleave({name: lambda code=code: fresh(code) for name, code in CASES.items()}, repeats)
    emit("import: msgspec, pluggy, entry points", [value * 1e3 for value in added(times, "needed", "nothing")], "ms")
    emit("import: import autotrack alone", [value * 1e3 for value in added(times, "import", "nothing")], "ms")
    emit("import: added by autotrack.enable()", [value * 1e3 for value in added(times, "enable", "needed")], "ms", 25.0)


if __name__ == "__main__":
    main()
