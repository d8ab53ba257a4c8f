"""``autotrack init``."""

from __future__ import annotations

from pathlib import Path

import click

from autotrack import api, config

__all__ = ["init"]


@click.command()
@click.option("--shared", is_flag=True, help="For a group: folders 2770, files 0660.")
@click.argument("folder", required=False)
def init(shared: bool, folder: str | None) -> None:
    """Make a store in FOLDER, by default `.autotrack` in the working folder."""
    path = Path(folder or config.STORE_FOLDER)
    made = api.init_store(path, shared=shared)
    click.echo(f"{'made' if made else 'there already:'} {path.absolute()}", err=True)
