"""``autotrack run``: a program with recording on, run as Python would run it."""

from __future__ import annotations

import builtins
import runpy
import sys
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType, TracebackType

import click

import autotrack
from autotrack import api

__all__ = ["Program", "run"]


class Program(Exception):
    """A program to be run when the command line is done with: nothing of it stands around the program then."""

    def __init__(self, target: str, arguments: tuple[str, ...], module: bool) -> None:
        super().__init__(target)
        self.target = target
        self.arguments = arguments
        self.module = module
        self.main = ModuleType("__main__")

    def enable(self) -> None:
        """Put in place what the program will see of the process, and switch recording on.

        Raises:
            ConfigError: The settings are wrong.
        """
        folder = Path.cwd() if self.module else Path(self.target).resolve().parent
        if not sys.flags.safe_path:
            sys.path[0] = str(folder)
        sys.argv[:] = ["-m" if self.module else self.target, *self.arguments]  # -m: Python puts the file's path there
        names = vars(self.main)
        names.update(__builtins__=builtins, __annotations__={})
        if not self.module:
            file = str(Path(self.target).absolute())
            names.update(__file__=file, __cached__=None, __loader__=SourceFileLoader("__main__", file))
        sys.modules["__main__"] = self.main  # before enable(): it is what names the experiment
        autotrack.enable()

    def start(self) -> None:
        """Run it in this process, as ``__main__``. What it raises comes out, and Python shows it as without us."""
        try:
            if self.module:
                runpy._run_module_as_main(self.target)  # type: ignore[attr-defined]  # what python -m calls
            else:
                file = vars(self.main)["__file__"]
                code = compile(Path(file).read_bytes(), file, "exec", dont_inherit=True)
                exec(code, vars(self.main))  # noqa: S102  what the command is for
        except SystemExit as error:
            api.exits_with(error.code)
            raise
        except BaseException:
            self._hide_frames()
            raise

    def _hide_frames(self) -> None:
        """Have the traceback that Python is about to print begin where it would without us."""
        show = sys.excepthook  # the program's own, maybe

        def show_the_programs(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
            sys.excepthook = show
            while traceback is not None and traceback.tb_frame.f_code is not Program.start.__code__:
                traceback = traceback.tb_next
            traceback = None if traceback is None else traceback.tb_next
            sys.last_traceback = error.__traceback__ = traceback
            show(kind, error, traceback)

        sys.excepthook = show_the_programs


@click.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.option("-m", "module", is_flag=True, help="TARGET is a module, as with python -m.")
@click.argument("target")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def run(target: str, arguments: tuple[str, ...], module: bool) -> None:
    """Run a Python program with recording on.

    The program is run as `python TARGET ARGUMENTS...` would run it. Settings come from the environment
    (AUTOTRACK_STORE, AUTOTRACK_EXPERIMENT, ...) and from pyproject.toml. Processes that it starts anew are not
    recorded: a line `autotrack.enable()` in their own code does that.
    """
    if not module and not Path(target).is_file():
        what = "is a folder" if Path(target).is_dir() else "is not there"
        raise click.UsageError(f"{target} {what}: give a Python file, or `-m` and the name of a module")
    raise Program(target, arguments, module)
