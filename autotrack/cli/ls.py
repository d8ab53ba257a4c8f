"""``autotrack ls``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

import click

import autotrack
from autotrack.cli.options import as_json, emit, json_option, parent_option, print_table, store_option
from autotrack.columns import chosen_columns
from autotrack.display import printable, runs_table
from autotrack.reader import RunRecord

__all__ = ["ls"]


@click.command()
@click.argument("filter", required=False)
@click.option("--experiment", "-e", help="Only runs of this experiment.")
@click.option("--limit", "-n", type=click.IntRange(min=1), default=30, show_default=True, help="At most so many.")
@click.option("--sort", "-s", "order_by", multiple=True, help="Sort by this: 'metrics.accuracy DESC'.")
@click.option("--columns", "-c", help="These columns: 'metrics.accuracy,params.C,tags.team,duration'.")
@click.option("--children", is_flag=True, help="Child runs as well, below their parents.")
@parent_option
@store_option
@json_option
def ls(
    filter: str | None,  # noqa: A002
    experiment: str | None,
    limit: int,
    order_by: tuple[str, ...],
    columns: str | None,
    children: bool,
    parent: str | None,
    store: str | None,
    to_json: bool,
) -> None:
    """List the recorded runs, newest first; those that meet FILTER, such as "metrics.accuracy > 0.9"."""
    runs = autotrack.runs(filter, experiment, order_by, limit, parent=parent, store=store)
    if to_json:  # children are in it anyway
        emit([as_json(run) for run in runs])
    elif runs:
        shown = list(_with_children(runs) if children else runs)
        chosen = None if columns is None else chosen_columns(shown, columns)
        print_table(lambda width: runs_table(shown, width, chosen))
    elif filter or experiment:
        click.echo("No run meets that.", err=True)
    elif parent is not None:
        click.echo(f"{printable(parent)} has no child runs.", err=True)
    elif any(one.archived and one.runs for one in autotrack.experiments(archived=True, store=store)):
        click.echo("All runs here are of archived experiments: name one with --experiment.", err=True)
    else:
        click.echo("No runs here yet. Train something after `autotrack.enable()`, or try `autotrack demo`.", err=True)


def _with_children(runs: Iterable[RunRecord], depth: int = 0) -> Iterator[RunRecord]:
    for run in runs:
        yield replace(run, name="  " * depth + run.name) if depth else run
        yield from _with_children(run.children, depth + 1)
