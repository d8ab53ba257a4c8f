"""Run all benchmarks, print one table, write RESULTS.md: ``python benchmarks/run.py``."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
BENCHMARKS = (
    "bench_import.py",
    "bench_disabled.py",
    "bench_scalar.py",
    "bench_fit.py",
    "bench_capture.py",
    "bench_forest.py",
)


def results(name: str) -> list[dict[str, Any]]:
    """The JSON lines of one benchmark, run in a process of its own."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("AUTOTRACK_")}
    done = subprocess.run(
        [sys.executable, str(HERE / name)], stdout=subprocess.PIPE, text=True, check=True, timeout=1200, env=environment
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


def row(line: dict[str, Any]) -> list[str]:
    """One case as cells."""
    digits = 1 if line["unit"] == "bytes" else 3
    figures = [f"{line[key]:.{digits}f}" for key in ("min", "median")]
    interval = f"{line['low']:.{digits}f} to {line['high']:.{digits}f}"
    target = line["target"]
    met = "" if target is None else "yes" if line["median"] <= target else "NO"
    return [line["case"], line["unit"], *figures, interval, "" if target is None else f"<= {target:g}", met]


def table(lines: list[dict[str, Any]]) -> str:
    """All cases as a Markdown table that is also readable as text."""
    rows = [["case", "unit", "min", "median", "95 % of the median", "target", "met"], *map(row, lines)]
    widths = [max(len(cells[column]) for cells in rows) for column in range(len(rows[0]))]
    text = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)) + " |" for cells in rows
    ]
    text.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(text)


def main() -> None:
    lines = [line for name in BENCHMARKS for line in results(name)]
    shown = table(lines)
    print(shown)
    where = lines[0]["machine"]
    versions = {name: version for line in lines for name, version in line["versions"].items()}
    about = f"{where['cpu']}, {where['cores']} cores, {where['system']}, Python {where['python']}; " + ", ".join(
        f"{name} {version}" for name, version in sorted(versions.items())
    )
    (HERE / "RESULTS.md").write_text(
        "# Benchmarks\n\n"
        "Written by `python benchmarks/run.py`. Repeats are paired and interleaved: what is called added is the\n"
        "difference to the plain call of the same round. A target is met when the median meets it; the interval\n"
        "is that of the median, by order statistics.\n\n"
        f"{time.strftime('%Y-%m-%d')}: {about}\n\n{shown}\n"
    )
    if any(row(line)[-1] == "NO" for line in lines):
        sys.exit(1)


if __name__ == "__main__":
    main()
