"""``autotrack verify``."""

from __future__ import annotations

import sys
from collections import Counter

import click

from autotrack import texts, verification
from autotrack.cli.options import emit, json_option, store_option
from autotrack.display import printable

__all__ = ["verify"]


@click.command()
@click.argument("runs", metavar="[RUN]...", nargs=-1)
@store_option
@json_option
def verify(runs: tuple[str, ...], store: str | None, to_json: bool) -> None:
    """Check that runs are as they were written: seals of the records, size and sha256 of each file.

    Without RUN: all runs, registered models and experiments. Exit code 1 where something is damaged.
    """
    counts: Counter[str] = Counter()
    files = size = 0
    damaged = []
    for checked in verification.verify(runs, store=store):
        counts[checked.kind] += 1
        files, size = files + checked.files, size + checked.size
        if checked.damage:
            damaged.append(checked)
            if not to_json:
                title = f"{checked.name} ({checked.ref})" if checked.kind == "run" else f"{checked.kind} {checked.name}"
                click.echo(printable(title))
                for what in checked.damage:
                    click.echo(f"  {printable(what, 2000)}")
    if to_json:
        damage = {checked.ref: checked.damage for checked in damaged}
        found = {f"{kind}s": counts[kind] for kind in ("run", "model", "experiment")}
        emit({**found, "files": files, "bytes": size, "damage": damage})
    else:
        told = f"{len(damaged):,} are damaged" if damaged else "all are as they were written"
        seen = [f"{counts['run']:,} runs"]
        seen += [f"{counts[kind]:,} {kind}s" for kind in ("model", "experiment") if counts[kind]]
        click.echo(f"{', '.join(seen)}, {files:,} files, {texts.size(size)}: {told}", err=True)
    if damaged:
        sys.exit(1)
