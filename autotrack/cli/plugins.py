"""``autotrack plugins``."""

from __future__ import annotations

import importlib
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from autotrack import guard, plugins
from autotrack.cli.options import emit, json_option
from autotrack.display import printable

__all__ = ["plugin_rows", "plugins_command"]


def plugin_rows(load: bool = True) -> list[dict[str, Any]]:
    """One row per integration, and one per plugin that offers none.

    Args:
        load: Import the frameworks, so that the status is what a training would meet; everything is put back.
    """
    rows: list[dict[str, Any]] = []
    offered = plugins.offered()
    for plugin in plugins.found():
        about = {"plugin": plugin.name, "from": plugin.distribution}
        mine = [integration for name, integration in offered if name == plugin.name]
        for integration in mine:
            integration.switch(True)
            error = None
            if load and integration.status == "waiting for its framework":
                _, error = guard.foreign(_import, integration.modules)
            status, why = integration.status, integration.reason
            if status == "framework missing":
                why = f"{integration.minimum[0]} is not installed"
            elif error is not None and status == "waiting for its framework":
                status, why = "import error", f"{type(error).__name__}: {error}"
            rows.append({**about, "records": integration.name, "status": status, "why": why})
            integration.switch(False)
        if not mine:
            rows.append({**about, "records": "", "status": plugin.status, "why": plugin.reason})
    return rows


def _import(modules: tuple[str, ...]) -> None:
    for module in modules:
        importlib.import_module(module)


@click.command(name="plugins")
@json_option
def plugins_command(to_json: bool) -> None:
    """List the installed plugins: what each records, whether it would, and if not why."""
    rows = plugin_rows()
    if to_json:
        emit(rows)
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("plugin", "from", "records", "status", "why"):
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*[Text(printable(row[name])) for name in ("plugin", "from", "records", "status", "why")])
    Console(highlight=False).print(table)
