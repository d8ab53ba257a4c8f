"""``autotrack rm`` and ``autotrack restore``."""

from __future__ import annotations

import sys

import click

import autotrack
from autotrack import keeping
from autotrack.cli.options import as_json, emit, json_option, print_table, store_option
from autotrack.display import printable, runs_table

__all__ = ["restore", "rm"]


@click.command()
@click.argument("runs", metavar="RUN...", nargs=-1, required=True)
@store_option
@json_option
def rm(runs: tuple[str, ...], store: str | None, to_json: bool) -> None:
    """Remove runs, with their children. They go to the trash, from which `autotrack restore` brings them back.

    Nothing is removed where one of them is not found. A run that goes on is refused.
    """
    found = {record.id: record for record in [autotrack.get_run(run, store=store) for run in runs]}
    refused = False
    for record in found.values():
        try:
            record.remove()
        except autotrack.StoreError as error:
            refused = True
            click.echo(f"autotrack: {printable(error, 2000)}", err=True)
            continue
        if not to_json:
            click.echo(f"removed: {printable(record.name)} ({record.id})", err=True)
    if to_json:
        emit([record.id for record in found.values() if record.removed])
    elif any(record.removed for record in found.values()):
        click.echo("`autotrack restore RUN` brings it back, until `autotrack gc` clears the trash away.", err=True)
    if refused:
        sys.exit(1)


@click.command()
@click.argument("runs", metavar="[RUN]...", nargs=-1)
@store_option
@json_option
def restore(runs: tuple[str, ...], store: str | None, to_json: bool) -> None:
    """Bring removed runs back. Without RUN: list those that are in the trash."""
    if not runs:
        trash = keeping.removed_runs(store=store)
        if to_json:
            emit([as_json(record) for record in trash])
        elif trash:
            print_table(lambda width: runs_table(trash, width))
            click.echo("`autotrack restore RUN` brings one back.", err=True)
        else:
            click.echo("The trash is empty.", err=True)
        return
    trash = keeping.removed_runs(store=store)
    restored = []
    ids = dict.fromkeys([keeping.removed_id(run, trash) for run in runs])  # all are found before one comes back
    for run_id in ids:
        restored.append(autotrack.restore_run(run_id, store=store))
        if not to_json:
            click.echo(f"restored: {printable(restored[-1].name)} ({run_id})", err=True)
    if to_json:
        emit([as_json(record) for record in restored])
