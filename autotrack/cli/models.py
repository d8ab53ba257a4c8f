"""``autotrack models``: recorded and registered models."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any

import click
from rich.table import Table
from rich.text import Text

import autotrack
from autotrack import values
from autotrack.cli.edit import parse_tags
from autotrack.cli.options import emit, json_option, print_table, store_option
from autotrack.display import ago, printable
from autotrack.model_lookup import split_ref

__all__ = ["models"]


@click.group()
def models() -> None:
    """Recorded and registered models.

    REF is a run (id, name, @last, …), RUN/NAME where it has several models, or a registered model:
    models:/NAME@ALIAS, models:/NAME/3, models:/NAME/latest.
    """


@models.command()
@click.argument("name", required=False)
@store_option
@json_option
def ls(name: str | None, store: str | None, to_json: bool) -> None:
    """List the registered models, or the versions of the one called NAME and who moved what when."""
    if name is None:
        found = autotrack.registered_models(store=store)
        if to_json:
            emit([_model_json(model) for model in found])
        elif found:
            rows = [[m.name, str(len(m.versions)), _aliases(m.aliases), _latest(m), m.description] for m in found]
            _table(["name", "versions", "aliases", "latest", "description"], rows)
        else:
            click.echo("No registered models here yet: autotrack models register @last NAME", err=True)
        return
    model = autotrack.get_registered_model(name, store=store)
    if to_json:
        emit(_model_json(model))
        return
    rows = []
    for number, version in reversed(model.versions.items()):
        what = version.version
        from_run = str(what.lineage.get("run_name") or what.run)
        words = [version.description, *(f"{key}={value}" for key, value in version.tags.items())]
        rows.append([str(number), ", ".join(version.aliases), ago(what.at / 1e6), what.by, from_run, " ".join(words)])
    _table(["version", "aliases", "registered", "by", "from", ""], rows)
    for line in [*_history(model), *model.problems]:
        click.echo(printable(line))


@models.command()
@click.argument("ref", default="@last")
@store_option
@json_option
def show(ref: str, store: str | None, to_json: bool) -> None:
    """Show what a model is and what it needs; nothing of it is loaded."""
    model = autotrack.get_model(ref, store=store)
    needs = model.needs()
    if to_json:
        emit({**model.as_json(), "needs": needs, "lineage": values.to_json(model.lineage)})
        return
    trust = "nobody's word" if not needs else ", ".join(needs)
    if needs == ["pickle"]:
        trust = "trusted=True: it is a pickle, and opening it runs whatever code is in it"
    lines = {"model": model.ref, "class": model.cls, "format": model.format, "size": f"{model.size:,} bytes"}
    lines |= {"sha256": model.sha256, "to load it": trust, "stays a pickle": model.stays}
    lines |= {half: _half(model.signature.get(half)) for half in ("inputs", "outputs")}
    lines |= {"saved with": ", ".join(f"{name} {version}" for name, version in model.requires.items())}
    lines |= {"from run": model.run} | _short(model.lineage)
    _lines(lines)


@models.command()
@click.argument("ref")
@click.argument("name")
@click.option("--alias", help="An alias that moves to the new version.")
@click.option("--tag", "tags", multiple=True, metavar="KEY=VALUE", help="A tag of the new version.")
@click.option("--description", help="A description of the new version.")
@store_option
def register(
    ref: str, name: str, alias: str | None, tags: tuple[str, ...], description: str | None, store: str | None
) -> None:
    """Make the model REF the next version of the registered model NAME."""
    pairs = {key: str(value) for key, value in parse_tags(tags, ()).items()}
    number = autotrack.register_model(ref, name, alias, tags=pairs, description=description, store=store)
    click.echo(f"models:/{name}/{number}")


@models.command()
@click.argument("ref")
@click.option("--tag", "-t", "tags", metavar="KEY=VALUE", multiple=True, help="Set a tag.")
@click.option("--untag", "untags", metavar="KEY", multiple=True, help="Take a tag away.")
@click.option("--description", metavar="TEXT", help="Another description.")
@store_option
def edit(ref: str, tags: tuple[str, ...], untags: tuple[str, ...], description: str | None, store: str | None) -> None:
    """Change tags or description of REF: NAME/3, NAME@ALIAS, or NAME for the registered model as a whole."""
    said = parse_tags(tags, untags)
    if not said and description is None:
        raise click.UsageError("say what is to change: --tag, --untag or --description")
    name, which = split_ref(ref)
    version = autotrack.get_registered_model(name, store=store).version(which).version.n if which else None
    autotrack.update_model(name, version, tags=said, description=description, store=store)


@models.command()
@click.argument("name")
@click.argument("alias")
@click.argument("version", type=click.IntRange(min=1), required=False)
@click.option("--remove", is_flag=True, help="Take the alias away.")
@store_option
def alias(name: str, alias: str, version: int | None, remove: bool, store: str | None) -> None:
    """Move ALIAS of the registered model NAME to VERSION."""
    if (version is None) != remove:
        raise click.UsageError("give the VERSION that the alias moves to, or --remove")
    autotrack.update_model(name, aliases={alias: version}, store=store)


@models.command()
@click.argument("one")
@click.argument("other")
@store_option
@json_option
def diff(one: str, other: str, store: str | None, to_json: bool) -> None:
    """Show in what two models differ: class, versions of packages, signature, params, metrics, data, code."""
    sides = [_flat(autotrack.get_model(ref, store=store)) for ref in (one, other)]
    keys = [key for key in {**sides[0], **sides[1]} if sides[0].get(key) != sides[1].get(key)]
    if to_json:
        emit({key: [side.get(key) for side in sides] for key in keys})
    elif keys:
        _table(["", one, other], [[key, *(str(side.get(key, "")) for side in sides)] for key in keys])
    else:
        click.echo("They do not differ.", err=True)


@models.command()
@click.argument("ref")
@click.argument("folder", type=click.Path())
@click.option("--trust", multiple=True, metavar="TYPE", help="A type that you vouch for to whoever loads the folder.")
@click.option("--trust-all", is_flag=True, help="Vouch for the whole file, whatever is in it.")
@store_option
def export(ref: str, folder: str, trust: tuple[str, ...], trust_all: bool, store: str | None) -> None:
    """Write the model REF as a FOLDER that can be used without autotrack, also by MLflow."""
    model = autotrack.get_model(ref, store=store)
    try:
        model.export(folder, trusted=True if trust_all else list(trust))
    except autotrack.ModelNotTrusted as error:
        flags = " ".join(f"--trust {name}" for name in error.untrusted)
        more = "--trust-all" if error.untrusted == ("pickle",) else flags
        raise autotrack.ModelNotTrusted(f"{error} Here: {more}", error.untrusted) from None
    click.echo(f"{folder}: {printable(model.cls)}; python {folder}/load.py loads it", err=True)


def _table(header: list[str], rows: list[list[str]]) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in header:
        table.add_column(printable(name), overflow="fold")
    for row in rows:
        table.add_row(*[Text(printable(cell)) for cell in row])
    print_table(lambda _: table)


def _lines(lines: Mapping[str, str]) -> None:
    for key, text in lines.items():
        if text:
            click.echo(f"{key:<15} {printable(text, 2000)}")


def _half(half: Any) -> str:
    """Inputs or outputs of a signature in a line."""
    if not isinstance(half, Mapping) or not half:
        return ""
    if "tensors" in half:
        return "; ".join(f"{name}: {_half(about)}" for name, about in half["tensors"].items())
    shape = " x ".join("rows" if size is None else str(size) for size in half.get("shape") or ())
    if "columns" not in half:
        return f"{shape} of {half.get('dtype', '?')}"
    columns = zip(half["columns"], half.get("dtypes", ()), strict=False)
    return f"{shape}: " + ", ".join(f"{name} ({dtype})" for name, dtype in columns)


def _short(lineage: Mapping[str, Any]) -> dict[str, str]:
    """Run, data and code that a model came from, a line each."""
    git, data = (lineage.get(key) or {} for key in ("git", "data"))
    code = f"commit {git['commit']}" + (" with changes" if git.get("dirty") else "") if git.get("commit") else ""
    known = [(name, about) for name, about in data.items() if isinstance(about, Mapping)]
    parts = [f"{name} {about.get('shape', '')} {about.get('hash', '')}" for name, about in known]
    metrics = (
        f"{key} {value:.6g}" if isinstance(value, float) else f"{key} {value}"
        for key, value in (lineage.get("metrics") or {}).items()
    )
    return {
        "run name": lineage.get("run_name", ""), "experiment": lineage.get("experiment", ""),
        "metrics": ", ".join(metrics), "data": "; ".join(parts), "code": code,
    }  # fmt: skip


def _flat(model: autotrack.StoredModel) -> dict[str, Any]:
    lineage = model.lineage
    facts: dict[str, Any] = {"class": model.cls, "format": model.format, "size": model.size, "sha256": model.sha256}
    facts |= {f"requires {name}": version for name, version in model.requires.items()}
    facts |= {half: _half(model.signature.get(half)) for half in ("inputs", "outputs")}
    for section in ("params", "metrics"):
        facts |= {f"{section}.{key}": value for key, value in (lineage.get(section) or {}).items()}
    facts |= {key: value for key, value in _short(lineage).items() if key in ("experiment", "data", "code")}
    return {**facts, "run": model.run}


def _aliases(aliases: Mapping[str, int]) -> str:
    return ", ".join(f"{alias} → {number}" for alias, number in sorted(aliases.items()))


def _latest(model: autotrack.RegisteredModel) -> str:
    newest = model.versions[max(model.versions)].version
    return f"{newest.model.cls.rpartition('.')[2]}, {ago(newest.at / 1e6)}"


def _history(model: autotrack.RegisteredModel) -> Iterator[str]:
    for entry in model.history:
        at = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(entry.time))
        change = entry.change
        said = [f"{a} → {n}" if n else f"{a} taken away" for a, n in change.aliases.items()]
        about = f"version {change.n}: " if change.n else ""
        said += [f"{about}{k} taken away" if v is None else f"{about}{k}={v}" for k, v in change.tags.items()]
        said += [f"{about}{change.description!r}"] if change.description is not None else []
        yield f"{at}  {change.by}  {'; '.join(said)}"


def _model_json(model: autotrack.RegisteredModel) -> dict[str, Any]:
    versions = [
        {
            "version": number, "time": one.version.at / 1e6, "by": one.version.by, "run": one.version.run,
            "class": one.version.model.cls, "format": one.version.model.format, "size": one.version.model.size,
            "sha256": one.version.model.sha256, "aliases": one.aliases, "tags": one.tags,
            "description": one.description, "lineage": one.version.lineage,
        }
        for number, one in model.versions.items()
    ]  # fmt: skip
    history = [
        {
            "time": entry.time, "by": entry.change.by, "version": entry.change.n or None,
            "aliases": entry.change.aliases, "tags": entry.change.tags, "description": entry.change.description,
        }
        for entry in model.history
    ]  # fmt: skip
    return {
        "name": model.name, "description": model.description, "tags": model.tags, "aliases": model.aliases,
        "versions": versions, "history": history, "problems": model.problems,
    }  # fmt: skip
