"""``autotrack verify``."""

from __future__ import annotations

import sys

import click

from autotrack import texts, upkeep
from autotrack.cli.options import emit, json_option, store_option
from autotrack.display import printable

__all__ = ["verify"]


@click.command()
@click.argument("runs", metavar="[RUN]...", nargs=-1)
@store_option
@json_option
def verify(runs: tuple[str, ...], store: str | None, to_json: bool) -> None:
    """Check that runs are as they were written: seals of the records, size and sha256 of each file.

    Without RUN: all runs. Exit code 1 where something is damaged.
    """
    count = files = size = 0
    damaged = []
    for checked in upkeep.verify(runs, store=store):
        count, files, size = count + 1, files + checked.files, size + checked.size
        if checked.damage:
            damaged.append(checked)
            if not to_json:
                click.echo(f"{printable(checked.run.name)} ({checked.run.id})")
                for what in checked.damage:
                    click.echo(f"  {printable(what, 2000)}")
    if to_json:
        damage = {checked.run.id: checked.damage for checked in damaged}
        emit({"runs": count, "files": files, "bytes": size, "damage": damage})
    else:
        told = f"{len(damaged):,} are damaged" if damaged else "all are as they were written"
        click.echo(f"{count:,} runs, {files:,} files, {texts.size(size)}: {told}", err=True)
    if damaged:
        sys.exit(1)
