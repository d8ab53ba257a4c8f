"""``autotrack du``."""

from __future__ import annotations

import click
from rich.table import Table
from rich.text import Text

import autotrack
from autotrack import texts, upkeep
from autotrack.cli.options import emit, json_option, print_table, store_option
from autotrack.display import printable, short_name

__all__ = ["du"]


@click.command()
@click.option("--limit", "-n", type=click.IntRange(min=0), default=5, show_default=True, help="So many of the runs.")
@store_option
@json_option
def du(limit: int, store: str | None, to_json: bool) -> None:
    """Show what the store takes on disk: by part, and the largest runs. A file with several names counts once."""
    found = upkeep.usage(store=store)
    if to_json:
        emit({"store": str(found.store), "total": found.parts.total(), "parts": found.parts, "runs": found.runs})
        return
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(justify="right", no_wrap=True)
    table.add_column()
    for part, size in found.parts.most_common():
        table.add_row(texts.size(size), Text(printable(part)))
    table.add_row(texts.size(found.parts.total()), Text(printable(found.store, 1000)), style="bold")
    largest = found.runs.most_common(limit)
    if largest:
        table.add_section()
    for run_id, size in largest:
        try:
            name = short_name(autotrack.get_run(run_id, store=store).name, 60)
        except autotrack.RunNotFound:  # no run, or removed meanwhile
            name = ""
        table.add_row(texts.size(size), Text(f"{printable(run_id)}  {name}"))
    print_table(lambda _: table)
