"""``autotrack export``."""

from __future__ import annotations

import csv
import io
import json
import math
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import click

import autotrack
from autotrack import values
from autotrack.cli.options import as_json, parent_option, store_option
from autotrack.display import printable
from autotrack.reader import RunRecord

__all__ = ["export"]

_FORMATS = ("csv", "json", "parquet")


@click.command()
@click.argument("filter", required=False)
@click.option("--output", "-o", type=click.Path(dir_okay=False, path_type=Path), help="A file. Default: stdout.")
@click.option("--format", "-f", "form", type=click.Choice(_FORMATS), help="Default: by the file's name, else csv.")
@click.option("--history", is_flag=True, help="Each point of each metric in place of a row for each run.")
@click.option("--children", is_flag=True, help="Child runs as well.")
@click.option("--experiment", "-e", help="Only runs of this experiment.")
@parent_option
@store_option
def export(
    filter: str | None,  # noqa: A002
    output: Path | None,
    form: str | None,
    history: bool,
    children: bool,
    experiment: str | None,
    parent: str | None,
    store: str | None,
) -> None:
    """Write runs to a file for other programs: those that meet FILTER, as csv, json or parquet."""
    if form is None:
        suffix = output.suffix[1:].lower() if output is not None else "csv"
        if suffix not in _FORMATS:
            raise click.UsageError(f"say the format: --format, or a name that ends in {', '.join(_FORMATS)}")
        form = suffix
    found = autotrack.runs(filter, experiment, parent=parent, store=store)
    runs = list(_all(found) if children else found)
    if form == "json" and not history:
        data = json.dumps([as_json(run) for run in runs], indent=2).encode() + b"\n"
    else:
        rows = [row for run in runs for row in _points(run)] if history else [_row(run) for run in runs]
        columns = list(dict.fromkeys(name for row in rows for name in row)) or ["id"]
        data = {"csv": _csv, "json": _json, "parquet": _parquet}[form](columns, rows)
    if output is not None:
        try:
            output.write_bytes(data)
        except OSError as error:
            raise click.FileError(printable(output), error.strerror or str(error)) from None
        click.echo(f"{len(runs):,} runs written to {printable(output)}", err=True)
    elif sys.stdout.isatty():  # text that the terminal does not obey
        if form == "parquet":
            raise click.UsageError("parquet is not for a terminal: name a file with --output")
        click.echo("\n".join(printable(line, 100_000) for line in data.decode().splitlines()))
    else:
        click.echo(data, nl=False)


def _all(runs: Iterable[RunRecord]) -> Iterator[RunRecord]:
    for run in runs:
        yield run
        yield from _all(run.children)


def _row(run: RunRecord) -> dict[str, Any]:
    row: dict[str, Any] = {
        "id": run.id, "name": run.name, "experiment": run.experiment, "status": run.status, "parent": run.parent,
        "start": None if math.isnan(run.start) else run.start, "duration": run.duration,
    }  # fmt: skip
    for kind, items in (("params", run.params), ("metrics", run.metrics), ("tags", run.tags)):
        row.update({f"{kind}.{key}": value for key, value in items.items()})
    return row


def _points(run: RunRecord) -> Iterator[dict[str, Any]]:
    for key in run.metrics:
        for point in run.history(key):
            yield {
                "id": run.id, "name": run.name, "metric": key, "step": point.step, "epoch": point.epoch,
                "time": point.time, "value": point.value,
            }  # fmt: skip


def _plain(value: Any) -> Any:
    """A cell: text, a number, true, false or nothing; all else as JSON."""
    if value is None or isinstance(value, (str, bool, int, float)):
        return value.encode(errors="backslashreplace").decode() if isinstance(value, str) else value
    return json.dumps(values.to_json(value))


def _csv(columns: Sequence[str], rows: Sequence[dict[str, Any]]) -> bytes:
    page = io.StringIO(newline="")
    writer = csv.writer(page)
    writer.writerow([_plain(name) for name in columns])
    writer.writerows([_plain(row.get(name)) for name in columns] for row in rows)
    return page.getvalue().encode()


def _json(columns: Sequence[str], rows: Sequence[dict[str, Any]]) -> bytes:
    whole = [{name: values.to_json(value) for name, value in row.items()} for row in rows]
    return json.dumps(whole, indent=2).encode() + b"\n"


def _parquet(columns: Sequence[str], rows: Sequence[dict[str, Any]]) -> bytes:
    table = {str(_plain(name)): _of_one_type([_plain(row.get(name)) for row in rows]) for name in columns}
    page = io.BytesIO()
    try:
        import polars  # noqa: PLC0415

        polars.DataFrame(table, strict=False).write_parquet(page)
    except ImportError:
        try:
            import pyarrow  # noqa: PLC0415
            from pyarrow import parquet  # noqa: PLC0415
        except ImportError:
            raise autotrack.ConfigError("parquet is written with polars or pyarrow: pip install polars") from None
        parquet.write_table(pyarrow.table(table), page)
    return page.getvalue()


def _of_one_type(cells: list[Any]) -> list[Any]:
    """A column has one type: numbers are floats where not all are whole, and mixed ones are text."""
    kinds = {type(cell) for cell in cells if cell is not None}
    if kinds <= {int} and all(cell is None or -(2**63) <= cell < 2**63 for cell in cells):
        return cells
    if kinds <= {int, float}:
        return [None if cell is None else float(cell) for cell in cells]
    return cells if len(kinds) == 1 else [None if cell is None else str(cell) for cell in cells]
