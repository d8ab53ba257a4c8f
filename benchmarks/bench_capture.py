"""What capturing facts adds to ``LogisticRegression().fit`` on iris: to the first fit of a process, and to later ones.

Each process measures its own first fit; processes with and without capture alternate, and those of one round
make a pair.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from common import added, emit, interleave

PROGRAM = """
import os, sys, time, warnings
warnings.simplefilter("ignore")
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
import autotrack
from autotrack.facts import ProcessFacts
X, y = load_iris(return_X_y=True)
LogisticRegression().fit(X, y)
if sys.argv[1] == "off":
    ProcessFacts.give = lambda self, run: None
autotrack.enable(models="never")
times = []
for _ in range(30):
    model = LogisticRegression()
    started = time.perf_counter()
    model.fit(X, y)
    times.append(time.perf_counter() - started)
    time.sleep(0.01)
later = sorted(times[20:])
print(times[0], sum(times[:20]), later[len(later) // 2])
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=20)
    repeats = parser.parse_args().repeats
    figures: dict[str, list[list[float]]] = {"on": [], "off": []}
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        # In this very repository: git has something to say.
        environment["AUTOTRACK_STORE"] = str(Path(folder) / "store")

        def process(capture: str) -> float:
            program = [sys.executable, "-c", PROGRAM, capture]
            done = subprocess.run(
                program, env=environment, cwd=Path(__file__).parent, stdout=subprocess.PIPE, text=True, check=True,
                timeout=120,
            )  # fmt: skip
            figures[capture].append([float(word) for word in done.stdout.split()])
            return figures[capture][-1][0]

        interleave({name: (lambda name=name: process(name)) for name in figures}, repeats, warm_up=1)
    for index, what in enumerate(["the first fit", "the first 20 fits together", "a fit after them"]):
        times = {name: [row[index] for row in rows[1:]] for name, rows in figures.items()}
        emit(f"capture: {what}, off", [value * 1e3 for value in times["off"]], "ms", None, ["scikit-learn"])
        values = [value * 1e3 for value in added(times, "on", "off")]
        emit(f"capture: added to {what}", values, "ms", None, ["scikit-learn"])


if __name__ == "__main__":
    main()
