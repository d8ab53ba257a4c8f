"""``autotrack experiments``."""

from __future__ import annotations

from typing import Any

import click
from rich.table import Table
from rich.text import Text

import autotrack
from autotrack.cli.edit import parse_tags
from autotrack.cli.options import emit, json_option, print_table, store_option
from autotrack.display import ago, printable

__all__ = ["experiments"]


def _as_json(experiment: autotrack.Experiment) -> dict[str, Any]:
    return {
        "name": experiment.name, "names": experiment.names, "description": experiment.description,
        "tags": experiment.tags, "archived": experiment.archived, "runs": experiment.runs, "last": experiment.last,
    }  # fmt: skip


@click.group()
def experiments() -> None:
    """List, describe, rename and archive experiments. An experiment is there as soon as a run names it."""


@experiments.command()
@click.option("--all", "-a", "everything", is_flag=True, help="Those that were archived as well.")
@store_option
@json_option
def ls(everything: bool, store: str | None, to_json: bool) -> None:
    """List the experiments, the one of the newest run first."""
    found = autotrack.experiments(archived=everything, store=store)
    if to_json:
        emit([_as_json(experiment) for experiment in found])
        return
    if not found:
        click.echo("No experiments here yet; the first run makes one.", err=True)
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name, justify in (("experiment", "left"), ("runs", "right"), ("last run", "left"), ("description", "left")):
        table.add_column(name, justify=justify, no_wrap=name != "description")  # type: ignore[arg-type]
    for experiment in found:
        tags = " ".join(f"{key}={value}" for key, value in experiment.tags.items())
        words = [experiment.description, f"[{tags}]" if tags else "", "(archived)" if experiment.archived else ""]
        table.add_row(
            Text(printable(experiment.name, 40)),
            f"{experiment.runs:,}",
            "" if experiment.last is None else ago(experiment.last),
            Text(printable(" ".join(filter(None, words)), 1000)),
        )
    print_table(lambda _: table)


@experiments.command()
@click.argument("experiment")
@click.argument("text", required=False)
@click.option("--tag", "-t", "tags", metavar="KEY=VALUE", multiple=True, help="Set a tag.")
@click.option("--untag", "untags", metavar="KEY", multiple=True, help="Take a tag away.")
@store_option
@json_option
def describe(
    experiment: str, text: str | None, tags: tuple[str, ...], untags: tuple[str, ...], store: str | None, to_json: bool
) -> None:
    """Say what EXPERIMENT is about, or set its tags; with neither: show it."""
    said = parse_tags(tags, untags)
    found = autotrack.get_experiment(experiment, store=store)
    if text is not None:
        found.describe(text)
    if said:
        found.set_tags(said)
    if to_json:
        emit(_as_json(found))
        return
    lines = {
        "experiment": found.name,
        "earlier names": ", ".join(name for name in found.names if name != found.name),
        "description": found.description,
        "tags": ", ".join(f"{key}={value}" for key, value in found.tags.items()),
        "runs": f"{found.runs:,}",
        "archived": "yes" if found.archived else "",
    }
    for name, value in lines.items():
        if value:
            click.echo(f"{name:<13}  {printable(value, 4000)}")


@experiments.command()
@click.argument("experiment")
@click.argument("name")
@store_option
def rename(experiment: str, name: str, store: str | None) -> None:
    """Give EXPERIMENT another NAME. Its runs are found under the new one; new runs of the old name belong to it too."""
    autotrack.get_experiment(experiment, store=store).rename(name)
    click.echo(f"renamed: {printable(experiment)} is now {printable(name)}", err=True)


@experiments.command()
@click.argument("experiment")
@click.option("--undo", is_flag=True, help="Take it out of the archive.")
@store_option
def archive(experiment: str, undo: bool, store: str | None) -> None:
    """Leave EXPERIMENT and its runs out of lists that do not name it."""
    autotrack.get_experiment(experiment, store=store).archive(not undo)
    click.echo(f"{'no longer archived' if undo else 'archived'}: {printable(experiment)}", err=True)
