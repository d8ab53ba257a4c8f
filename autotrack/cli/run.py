"""``autotrack run``: a program with recording on, run as Python would run it."""

from __future__ import annotations

import builtins
import runpy
import sys
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType
from typing import Any

import click

import autotrack

__all__ = ["Program", "run"]


class Program(Exception):
    """A program to be run when the command line is done with: nothing of it stands around the program then."""

    def __init__(self, target: str, arguments: tuple[str, ...], module: bool) -> None:
        super().__init__(target)
        self.target = target
        self.arguments = arguments
        self.module = module

    def enable(self) -> None:
        """Put in place what the program will see of the process, and switch recording on.

        Raises:
            ConfigError: The settings are wrong.
        """
        folder = Path.cwd() if self.module else Path(self.target).resolve().parent
        if not sys.flags.safe_path:
            sys.path[0] = str(folder)
        sys.argv[:] = [self.target, *self.arguments]
        if not self.module:
            file = str(Path(self.target).absolute())
            main = ModuleType("__main__")
            main.__dict__.update(__file__=file, __cached__=None, __builtins__=builtins, __annotations__={})
            main.__loader__ = SourceFileLoader("__main__", file)
            sys.modules["__main__"] = main  # before enable(): it is what names the experiment
        autotrack.enable()

    def start(self) -> None:
        """Run it in this process, as ``__main__``; what it raises comes out."""
        if self.module:
            runpy.run_module(self.target, run_name="__main__", alter_sys=True)
            return
        main: Any = sys.modules["__main__"]
        code = compile(Path(main.__file__).read_bytes(), main.__file__, "exec", dont_inherit=True)
        exec(code, vars(main))  # noqa: S102  what the command is for


@click.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.option("-m", "module", is_flag=True, help="TARGET is a module, as with python -m.")
@click.argument("target")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def run(target: str, arguments: tuple[str, ...], module: bool) -> None:
    """Run a Python program with recording on.

    The program is run as `python TARGET ARGUMENTS...` would run it. Settings come from the environment
    (AUTOTRACK_STORE, AUTOTRACK_EXPERIMENT, ...) and from pyproject.toml.
    """
    if not module and not Path(target).is_file():
        what = "is a folder" if Path(target).is_dir() else "is not there"
        raise click.UsageError(f"{target} {what}: give a Python file, or `-m` and the name of a module")
    raise Program(target, arguments, module)
