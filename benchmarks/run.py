"""Run the benchmarks, print one table, write RESULTS.md: ``python benchmarks/run.py [NAME ...]``.

Each ``bench_NAME.py`` beside this file is one; all of them by default. Those named are run and shown, and nothing is
written unless ``--results`` says where to. What they print, a JSON line per figure, is kept in ``results.jsonl``
beside the results. It exits with 1 where a target is missed or a benchmark failed.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
NAMES = sorted(file.stem.removeprefix("bench_") for file in HERE.glob("bench_*.py"))
FIRST = ("scalar", "lightning", "torch", "fit")
"""These are the nearest to their targets, and need their rounds: they run before others have overrun their share."""

LIMIT = 630.0
"""Seconds that all together take, give or take the rounds that were begun: on a slow machine rounds are left out."""

TIMEOUT = 600.0
"""Seconds that one benchmark may take."""

ABOUT = """# Benchmarks

Written by `make bench`; what each figure is stands at the head of its `bench_*.py`, and README.md says how it is
measured. Every case has a process of its own; the processes take turns. What is called added is the difference to
the plain work right beside it. *met* compares the median with the target. The interval holds the median with 95 %
confidence by order statistics, whatever the distribution; with (!) there were too few turns for that, and it is the
whole range.

"""


def lines_of(name: str, options: list[str]) -> list[dict[str, Any]]:
    """The JSON lines of one benchmark; those that it printed before it failed, with a last one that says so."""
    started = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, str(HERE / f"bench_{name}.py"), *options], stdout=subprocess.PIPE, text=True
    )
    try:
        output, _ = process.communicate(timeout=TIMEOUT)
    except subprocess.TimeoutExpired:
        process.terminate()  # it ends its own processes
        output, _ = process.communicate()
    lines = [json.loads(line) for line in output.splitlines()]
    if process.returncode:
        lines.append({"case": f"{name}: FAILED", "met": False})
    print(f"{name}: {time.monotonic() - started:.0f} s", file=sys.stderr)
    return lines


def number(value: float | None) -> str:
    """Four digits, or as many as stand before the point."""
    if value is None:
        return "-"
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def row(line: dict[str, Any]) -> list[str]:
    """One figure as cells."""
    target = next((f"{sign} {line[key]:g}" for key, sign in SIGNS.items() if line.get(key) is not None), "")
    met = {None: "", True: "yes", False: "NO"}[line["met"]]
    if "median" not in line:
        return [line["case"], *[""] * 6, met]
    interval = f"{number(line['low'])} to {number(line['high'])}{'' if line['confidence'] >= 0.95 else ' (!)'}"
    return [
        line["case"], line["unit"], str(line["n"]), number(line["min"]), number(line["median"]), interval, target, met
    ]  # fmt: skip


SIGNS = {"at_most": "<=", "at_least": ">="}
HEADS = ["case", "unit", "n", "min", "median", "95 % of the median", "target", "met"]


def table(lines: list[dict[str, Any]]) -> str:
    """All figures as a Markdown table that is also readable as text."""
    rows = [HEADS, *map(row, lines)]
    widths = [max(len(cells[column]) for cells in rows) for column in range(len(HEADS))]
    text = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)) + " |" for cells in rows
    ]
    text.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(text)


def where_and_what(lines: list[dict[str, Any]], load: float, seconds: float) -> str:
    """The machine and the versions in words."""
    told = [line for line in lines if "machine" in line]
    machine = told[0]["machine"]
    versions = {name: version for line in told for name, version in line["versions"].items()}
    return (
        f"{time.strftime('%Y-%m-%d')}: {machine['cpu']}, {machine['cores']} cores, {machine['system']}, "
        f"{machine['filesystem']}, Python {machine['python']}; load average {load:.1f} before the start; "
        f"{seconds:.0f} s in all; " + ", ".join(f"{name} {version}" for name, version in sorted(versions.items()))
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(NAMES)} (default: all)")
    parser.add_argument("--results", type=Path, help="file to write (default: RESULTS.md, where no NAME is given)")
    parser.add_argument("--rounds", help="turns of each case, for a quick look")
    parser.add_argument("--no-peers", action="store_true", help="measure autotrack alone")
    given = parser.parse_args()
    if unknown := set(given.names) - set(NAMES):
        parser.error(f"there is no benchmark {', '.join(sorted(unknown))}")
    options = ["--rounds", given.rounds] if given.rounds else []
    options += ["--no-peers"] if given.no_peers else []
    load, started = os.getloadavg()[0], time.monotonic()
    names = given.names or sorted(NAMES, key=lambda name: name not in FIRST)
    found: dict[str, list[dict[str, Any]]] = {}
    for number, name in enumerate(names):
        left = LIMIT - (time.monotonic() - started)
        share = 1.5 * left / (len(names) - number)  # they do not take equally long
        found[name] = lines_of(name, [*options, f"--seconds={max(0.0, share):.0f}"])
    lines = [line for name in sorted(found) for line in found[name]]
    shown = table(lines)
    print(shown)
    results = given.results or (None if given.names else HERE / "RESULTS.md")
    if results is not None and any("machine" in line for line in lines):
        about = where_and_what(lines, load, time.monotonic() - started)
        results.write_text(f"{ABOUT}{about}\n\n{shown}\n")
        results.with_name("results.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    if any(line["met"] is False for line in lines):
        sys.exit(1)


if __name__ == "__main__":
    main()
