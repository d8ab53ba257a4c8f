"""The ``autotrack`` command."""

from __future__ import annotations

import io
import sys
from typing import NoReturn

import click

import autotrack
from autotrack.cli.best import best
from autotrack.cli.demo import demo
from autotrack.cli.diff import diff
from autotrack.cli.doctor import doctor
from autotrack.cli.du import du
from autotrack.cli.edit import edit
from autotrack.cli.experiments import experiments
from autotrack.cli.export import export
from autotrack.cli.gc import gc
from autotrack.cli.import_runs import import_command
from autotrack.cli.init import init
from autotrack.cli.ls import ls
from autotrack.cli.models import models
from autotrack.cli.plugins import plugins_command
from autotrack.cli.rm import restore, rm
from autotrack.cli.run import Program, run
from autotrack.cli.show import show
from autotrack.cli.sync import sync_command
from autotrack.cli.verify import verify
from autotrack.cli.watch import watch
from autotrack.display import printable

__all__ = ["main"]


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(autotrack.__version__, prog_name="autotrack")
def group() -> None:
    """Experiment tracking that nobody has to type."""


for _command in (
    run, ls, show, diff, best, watch, export, edit, experiments, rm, restore, gc, du, verify, models, init,
    plugins_command, doctor, demo, sync_command, import_command,
):  # fmt: skip
    group.add_command(_command)


def main() -> None:
    """Run a command. Errors made on purpose, and the system's, end with their message and exit code 1."""
    streams = [stream for stream in (sys.stdout, sys.stderr) if isinstance(stream, io.TextIOWrapper)]
    before = [stream.errors for stream in streams]
    for stream in streams:  # a terminal without UTF-8 gets escapes, not a traceback
        stream.reconfigure(errors="backslashreplace")
    try:
        group.main(prog_name="autotrack")
    except (autotrack.AutotrackError, OSError) as error:  # the latter: a store that may not be read, say
        _fail(error)
    except Program as asked:
        program = asked
    for stream, errors in zip(streams, before, strict=True):  # a program has them as it would have without us
        stream.reconfigure(errors=errors)
    try:
        program.enable()
    except autotrack.AutotrackError as error:
        _fail(error)
    program.start()


def _fail(error: Exception) -> NoReturn:
    lines = [printable(line, 2000) for line in str(error).split("\n")[:20]]
    click.echo("autotrack: " + "\n".join(lines), err=True)
    sys.exit(1)
