"""``autotrack edit``."""

from __future__ import annotations

import click

import autotrack
from autotrack.cli.options import as_json, emit, json_option, store_option
from autotrack.display import printable

__all__ = ["edit", "parse_tags"]


def parse_tags(tags: tuple[str, ...], untags: tuple[str, ...]) -> dict[str, str | None]:
    """``KEY=VALUE`` texts and the names of tags to take away, as ``set_tags`` has them."""
    found: dict[str, str | None] = dict.fromkeys(untags)
    for text in tags:
        key, separator, value = text.partition("=")
        if not separator or not key:
            raise click.UsageError(f"a tag is KEY=VALUE, not {printable(text)!r}")
        found[key] = value
    return found


@click.command()
@click.argument("run")
@click.option("--name", metavar="NAME", help="Another name.")
@click.option("--experiment", "-e", metavar="NAME", help="Move the run to this experiment.")
@click.option("--tag", "-t", "tags", metavar="KEY=VALUE", multiple=True, help="Set a tag.")
@click.option("--untag", "untags", metavar="KEY", multiple=True, help="Take a tag away.")
@click.option("--note", "notes", metavar="TEXT", multiple=True, help="Add a note.")
@store_option
@json_option
def edit(
    run: str,
    name: str | None,
    experiment: str | None,
    tags: tuple[str, ...],
    untags: tuple[str, ...],
    notes: tuple[str, ...],
    store: str | None,
    to_json: bool,
) -> None:
    """Change name, experiment or tags of RUN, or add a note; also while it goes on. Nothing that was recorded is lost.

    RUN is given as for `autotrack show`.
    """
    said = parse_tags(tags, untags)
    if name is None and experiment is None and not said and not notes:
        raise click.UsageError("say what is to change: --name, --experiment, --tag, --untag or --note")
    record = autotrack.get_run(run, store=store)
    if name is not None:
        record.rename(name)
    if experiment is not None:
        record.move(experiment)
    if said:
        record.set_tags(said)
    for note in notes:
        record.note(note)
    if to_json:
        emit(as_json(record))
    else:
        click.echo(f"changed: {printable(record.name)} ({record.id})", err=True)
