"""``autotrack sync``."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import click

import autotrack
from autotrack import config, plugins
from autotrack.cli.options import emit, json_option, store_option
from autotrack.display import printable
from autotrack.forward import Copier, Forwarder, Progress, sync
from autotrack.lookup import source_of
from autotrack.moving import Mover

__all__ = ["sync_command"]

PATIENCE = 30.0
"""Seconds for which a server that cannot be reached is tried again."""


@click.command("sync")
@click.option(
    "--to", "uri", metavar="URI", help="A server, or a folder. Default: the server that AUTOTRACK_STORE names."
)
@click.option("--watch", is_flag=True, help="Go on with what comes, until Ctrl-C.")
@click.option("--dry-run", is_flag=True, help="Send nothing: say how much would be sent.")
@store_option
@json_option
def sync_command(uri: str | None, watch: bool, dry_run: bool, store: str | None, to_json: bool) -> None:
    """Copy the runs of a store, a folder or a server, to another; what is there already is left out.

    It may be called while trainings go on, weeks later, on another machine, and twice at the same time.
    """
    folder, servers = config.split_store(config.resolve().store)
    if uri is None and len(servers) != 1:
        known = f" one of {', '.join(servers)}" if servers else " DIR, or --to http://HOST:PORT"
        raise autotrack.ConfigError(f"where to? --to{known}")
    target = servers[0] if uri is None else uri
    start = store or folder
    copier, close, whence = _to_server(start, target) if config.is_remote(target) else _to_folder(start, target)
    try:
        if dry_run:
            copier.round(send=False)
        else:
            sync(copier, patience=math.inf if watch else PATIENCE, watch=watch, tell=_tell)
    except KeyboardInterrupt:
        if not watch:
            raise
    finally:
        close()
        _report(copier.progress, whence, target, dry_run, to_json)


def _to_server(store: str, target: str) -> tuple[Copier, Callable[[], None], str]:
    """What copies, what ends it, and where the runs are."""
    if config.is_remote(store):
        raise autotrack.ConfigError("from a server to a server: copy to a folder first, and that one to the other")
    root = _folder(store)
    remote = plugins.remote(target)
    return Forwarder(root, remote), remote.close, str(root)


def _to_folder(store: str, target: str) -> tuple[Copier, Callable[[], None], str]:
    where = store if config.is_remote(store) else str(_folder(store))
    return Mover(source_of(where), config.find_store(target)), lambda: None, where


def _folder(store: str) -> Path:
    root = config.find_store(store)
    if not root.is_dir():
        raise autotrack.StoreError(f"there is no store at {root}")
    return root


def _report(done: Progress, whence: str, target: str, dry_run: bool, to_json: bool) -> None:
    for problem in done.problems:
        _tell(f"not taken: {problem}")
    if to_json:
        emit({"to": target, "runs": sorted(done.runs), "records": done.records, "problems": done.problems})
        return
    what = "would be copied" if dry_run else "were copied"
    click.echo(f"{done.records} records of {len(done.runs)} runs {what} from {whence} to {target}")


def _tell(text: str) -> None:
    click.echo(printable(f"autotrack: {text}", 2000), err=True)
