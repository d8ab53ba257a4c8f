"""``autotrack gc``."""

from __future__ import annotations

import sys

import click
from rich.table import Table
from rich.text import Text

import autotrack
from autotrack import config, texts, upkeep
from autotrack.cli.options import emit, json_option, print_table, store_option
from autotrack.display import printable

__all__ = ["gc"]

_DAY = 86400.0


@click.command()
@click.option("--dry-run", "-n", is_flag=True, help="Only show what would go.")
@click.option(
    "--keep", type=click.FloatRange(min=0), default=30.0, show_default=True, help="Days in the trash of a removed run."
)
@click.option(
    "--keep-models", type=click.IntRange(min=0), metavar="N", help="Delete models of all runs but N of each experiment."
)
@click.option("--sort", "-s", "order_by", multiple=True, help="Which N: 'metrics.accuracy DESC'. Default: the newest.")
@store_option
@json_option
def gc(
    dry_run: bool, keep: float, keep_models: int | None, order_by: tuple[str, ...], store: str | None, to_json: bool
) -> None:
    """Clear away what nobody needs: runs that were removed long ago, and what processes that died have left behind.

    Files that may still be written, and damaged runs with their files, stay. With --keep-models, so do the records of
    runs whose models are deleted, and all registered models. Exit code 1 where something could not be deleted.
    """
    if order_by and keep_models is None:
        raise click.UsageError("--sort says which models --keep-models N keeps: give both")
    found = list(upkeep.waste(keep=keep * _DAY, store=store))
    if keep_models is not None:
        found += upkeep.old_models(keep_models, order_by, store=store)
    stays = []
    if not dry_run:
        for waste in found:
            try:
                waste.clear()
            except (OSError, autotrack.StoreError) as error:
                stays.append(f"{waste.path} stays: {getattr(error, 'strerror', None) or error}")
    if to_json:
        emit([{"kind": one.kind, "path": one.path, "size": one.size, "age": one.age} for one in found])
    elif found:
        table = Table(box=None, pad_edge=False, header_style="bold")
        for name in ("what", "size", "untouched for", "path"):
            table.add_column(name, justify="right" if name == "size" else "left", no_wrap=name != "path")
        for one in found:
            age = texts.seconds(one.age) if one.age < _DAY else f"{one.age / _DAY:.0f} d"
            table.add_row(one.kind, texts.size(one.size), age, Text(printable(one.path, 1000)))
        print_table(lambda _: table)
    total = texts.size(sum(one.size for one in found))
    if not found:
        click.echo("There is nothing to clear away.", err=True)
    else:
        click.echo(f"{total} would go; without --dry-run they do." if dry_run else f"{total} cleared away.", err=True)
    models, most = upkeep.usage(store=store).parts["models"], config.resolve().store_max_gb * 1e9
    if models > most:
        click.echo(
            f"Models take {texts.size(models)}, above the {texts.size(int(most))} of store_max_gb: no more are saved "
            "by themselves. Delete old ones (`autotrack gc --keep-models 10 --dry-run`), remove runs that nobody needs "
            "(`autotrack du` shows the largest), or raise it.",
            err=True,
        )
    for line in stays:
        click.echo(f"autotrack: {printable(line, 2000)}", err=True)
    if stays:
        sys.exit(1)
