"""The ``autotrack`` command."""

from __future__ import annotations

import sys

import click

import autotrack
from autotrack.cli.demo import demo
from autotrack.cli.ls import ls
from autotrack.cli.show import show

__all__ = ["main"]


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(autotrack.__version__, prog_name="autotrack")
def group() -> None:
    """Experiment tracking that nobody has to type."""


for _command in (ls, show, demo):
    group.add_command(_command)


def main() -> None:
    """Run a command. Errors made on purpose end with their message and exit code 1."""
    try:
        group.main(prog_name="autotrack")
    except autotrack.AutotrackError as error:
        click.echo(f"autotrack: {error}", err=True)
        sys.exit(1)
