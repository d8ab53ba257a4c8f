"""The code that was run, byte by byte."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import autotrack
from autotrack.capture import source
from autotrack.capture.source import script_source

Script = Callable[..., "subprocess.CompletedProcess[str]"]

RUN = (
    "import autotrack, autotrack.facts\n"
    "autotrack.facts.EXIT_WAIT = 60.0  # the machine may be slow\n"
    "with autotrack.start_run(): pass\n"
)


def kept(store: Path, name: str) -> bytes:
    (run,) = autotrack.runs(store=store)
    with run.open(f"code/{name}") as file:
        return file.read()


@pytest.mark.parametrize(
    "code",
    [RUN.encode(), RUN.replace("\n", "\r\n").encode(), RUN.encode() + b"# no end",
     b"# -*- coding: latin-1 -*-\n" + RUN.encode() + b"# caf\xe9\n", "\ufeff".encode() + RUN.encode()],
    ids=["plain", "crlf", "no newline", "latin-1", "bom"],
)  # fmt: skip
def test_the_script_is_kept_byte_by_byte(tmp_path: Path, code: bytes):
    (tmp_path / "train.py").write_bytes(code)
    subprocess.run([sys.executable, "train.py"], cwd=tmp_path, check=True, timeout=120)
    assert kept(tmp_path / ".autotrack", "train.py") == code


def test_a_module_that_is_run_by_name(tmp_path: Path):
    package = tmp_path / "mine"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "train.py").write_text(RUN)
    subprocess.run([sys.executable, "-m", "mine.train"], cwd=tmp_path, check=True, timeout=120)
    assert kept(tmp_path / ".autotrack", "train.py") == RUN.encode()


def test_code_of_the_command_line_is_in_the_command(tmp_path: Path):
    subprocess.run([sys.executable, "-c", RUN], cwd=tmp_path, check=True, timeout=120)
    (run,) = autotrack.runs(store=tmp_path / ".autotrack")
    assert not run.artifacts
    assert run.facts["environment"]["command"] == [sys.executable, "-c", RUN]
    assert run.facts["environment"]["script"] == ""


def test_a_script_that_deletes_itself_or_is_very_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    assert script_source(str(tmp_path / "gone.py")) is None
    assert script_source("") is None
    assert script_source(str(tmp_path)) is None
    monkeypatch.setattr(source, "MAX_SOURCE", 100)
    (tmp_path / "large.py").write_text("x = 1\n" * 1000)
    assert script_source(str(tmp_path / "large.py")) == ("large.py", ("x = 1\n" * 1000)[:100])


def test_a_tools_own_script_is_no_code_of_the_users(tmp_path: Path):
    (tmp_path / "test_mine.py").write_text("def test():\n    import autotrack\n    autotrack.start_run().end()\n")
    program = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_mine.py"]
    subprocess.run(program, cwd=tmp_path, check=True, timeout=120, capture_output=True)
    (run,) = autotrack.runs(store=tmp_path / ".autotrack")
    assert not any(name.endswith("__main__.py") for name in run.artifacts)
