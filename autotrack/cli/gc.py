"""``autotrack gc``."""

from __future__ import annotations

import sys

import click
from rich.table import Table
from rich.text import Text

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
@store_option
@json_option
def gc(dry_run: bool, keep: float, store: str | None, to_json: bool) -> None:
    """Clear away what nobody needs: runs that were removed long ago, and what processes that died have left behind.

    Files that may still be written, and damaged runs with their files, stay. Exit code 1 where something could not be
    deleted.
    """
    found = list(upkeep.waste(keep=keep * _DAY, store=store))
    stays = []
    if not dry_run:
        for waste in found:
            try:
                waste.clear()
            except OSError as error:
                stays.append(f"{waste.path} stays: {error.strerror}")
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
            "by themselves. Remove runs that nobody needs (`autotrack du` shows the largest), or raise it.",
            err=True,
        )
    for line in stays:
        click.echo(f"autotrack: {printable(line, 2000)}", err=True)
    if stays:
        sys.exit(1)
