"""``autotrack sync``."""

from __future__ import annotations

import math

import click

import autotrack
from autotrack import config, plugins
from autotrack.cli.options import emit, json_option, store_option
from autotrack.display import printable
from autotrack.forward import Forwarder, sync

__all__ = ["sync_command"]

PATIENCE = 30.0
"""Seconds for which a server that cannot be reached is tried again."""


@click.command("sync")
@click.option(
    "--to", "uri", metavar="URI", help="The server. Default: the one that AUTOTRACK_STORE or pyproject names."
)
@click.option("--watch", is_flag=True, help="Go on with what comes, until Ctrl-C.")
@click.option("--dry-run", is_flag=True, help="Send nothing: say how much would be sent.")
@store_option
@json_option
def sync_command(uri: str | None, watch: bool, dry_run: bool, store: str | None, to_json: bool) -> None:
    """Copy the runs of the store to a server; what is there already is left out.

    It may be called while trainings go on, weeks later, on another machine, and twice at the same time.
    """
    given = config.resolve().store
    target = uri or (given if config.is_remote(given) else "")
    if not target:
        raise autotrack.ConfigError("where to? --to http://HOST:PORT, or set AUTOTRACK_STORE to it")
    root = config.find_store(store or ("" if config.is_remote(given) else given))
    if not root.is_dir():
        raise autotrack.StoreError(f"there is no store at {root}")
    remote = plugins.remote(target)
    forwarder = Forwarder(root, remote)
    try:
        if dry_run:
            forwarder.round(send=False)
        else:
            sync(forwarder, patience=math.inf if watch else PATIENCE, watch=watch, tell=_tell)
    except KeyboardInterrupt:
        if not watch:
            raise
    finally:
        remote.close()
        _report(forwarder, root.name and str(root), target, dry_run, to_json)


def _report(forwarder: Forwarder, root: str, target: str, dry_run: bool, to_json: bool) -> None:
    done = forwarder.progress
    for problem in done.problems:
        _tell(f"not taken: {problem}")
    if to_json:
        emit({"to": target, "runs": sorted(done.runs), "records": done.records, "problems": done.problems})
        return
    what = "would be sent" if dry_run else "were sent"
    click.echo(f"{done.records} records of {len(done.runs)} runs {what} from {root} to {target}")


def _tell(text: str) -> None:
    click.echo(printable(f"autotrack: {text}", 2000), err=True)
