"""``autotrack ls``."""

from __future__ import annotations

import click
from rich.console import Console

import autotrack
from autotrack.cli.options import as_json, emit, json_option, store_option
from autotrack.display import runs_table

__all__ = ["ls"]


@click.command()
@click.argument("filter", required=False)
@click.option("--experiment", "-e", help="Only runs of this experiment.")
@click.option("--limit", "-n", type=click.IntRange(min=1), default=30, show_default=True, help="At most so many.")
@click.option("--sort", "-s", "order_by", multiple=True, help="Sort by this: 'metrics.accuracy DESC'.")
@store_option
@json_option
def ls(
    filter: str | None,  # noqa: A002
    experiment: str | None,
    limit: int,
    order_by: tuple[str, ...],
    store: str | None,
    to_json: bool,
) -> None:
    """List the recorded runs, newest first; those that meet FILTER, such as "metrics.accuracy > 0.9"."""
    runs = autotrack.runs(filter, experiment, order_by, limit, store=store)
    if to_json:
        emit([as_json(run) for run in runs])
    elif runs:
        screen = Console(highlight=False)
        screen.print(runs_table(runs, screen.width))
    elif filter or experiment:
        click.echo("No run meets that.", err=True)
    else:
        click.echo("No runs here yet. Train something after `autotrack.enable()`, or try `autotrack demo`.", err=True)
