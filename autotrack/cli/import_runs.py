"""``autotrack import``."""

from __future__ import annotations

import click

from autotrack import config, plugins
from autotrack.cli.options import emit, json_option
from autotrack.display import printable
from autotrack.imported import import_runs

__all__ = ["import_command"]


@click.command("import")
@click.argument("source", metavar="SOURCE")
@click.option("--store", metavar="DIR", help="The store that they go to. Default: the one found from here.")
@json_option
def import_command(source: str, store: str | None, to_json: bool) -> None:
    """Bring runs that other tools recorded into the store, from an MLflow server or a folder `mlruns`.

    With params, metrics, tags, files and child runs. What was brought before is left out, also where it was removed
    here since. So are runs that go on.
    """
    root = config.find_store(store or config.split_store(config.resolve().store)[0])
    done, going_on = import_runs(plugins.foreign_runs(source), root)
    for problem in done.problems:
        click.echo(printable(f"autotrack: not taken: {problem}", 2000), err=True)
    if to_json:
        emit({"runs": sorted(done.runs), "records": done.records, "problems": done.problems, "going_on": going_on})
        return
    left = f"; {len(going_on)} go on and were left out" if going_on else ""
    click.echo(f"{len(done.runs)} runs, {done.records} records, were brought from {printable(source)} to {root}{left}")
