"""``autotrack run``: the program sees what it would see without us, and its trainings are on record."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import autotrack

PROGRAM = """
import pickle, sys
import beside
from sklearn.linear_model import LogisticRegression

class Mine:
    pass

if __name__ == "__main__":
    own = vars(sys.modules["__main__"]) is globals()
    print(__file__, sys.argv, sys.path[0], own, type(pickle.loads(pickle.dumps(Mine()))) is Mine)
    print(sys.stdout.errors, sys.stderr.errors, sorted(name for name in globals() if name.startswith("__")))
    print(LogisticRegression().fit([[0.0], [1.0]], [0, 1]).coef_.tolist())
    if "fail" in sys.argv:
        raise RuntimeError("as it is")
    sys.exit(3 if "leave" in sys.argv else 0)
"""


PATIENT = """
import sys
if "autotrack.facts" in sys.modules:
    sys.modules["autotrack.facts"].EXIT_WAIT = 60.0  # the machine may be slow
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A program and a module in a folder, seen from the folder above."""
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "train.py").write_text(PROGRAM)
    (tmp_path / "code" / "beside.py").write_text(PATIENT)
    return tmp_path


def call(*command: str, cwd: Path, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *command],
        cwd=cwd,
        env={**os.environ, "AUTOTRACK_STORE": str(cwd / "store"), **env},
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.mark.every_python
@pytest.mark.slow
@pytest.mark.parametrize("arguments", [["--x", "-m", "1"], ["leave"], ["fail"]], ids=["plain", "leave", "fail"])
def test_a_script_runs_as_without_us(folder, arguments):
    target = [str(Path("code", "train.py")), *arguments]
    plain = call(*target, cwd=folder)
    ours = call("-m", "autotrack", "run", *target, cwd=folder)
    assert (ours.returncode, ours.stdout) == (plain.returncode, plain.stdout)
    assert ours.stderr == plain.stderr
    (run,) = autotrack.runs(store=folder / "store")
    assert (run.experiment, run.status) == ("train", "finished")
    assert any(name.endswith("train.py") for name in run.artifacts)


def test_a_module_runs_as_without_us(folder):
    plain = call("-m", "train", "a", cwd=folder / "code")
    ours = call("-m", "autotrack", "run", "-m", "train", "a", cwd=folder / "code")
    assert plain.returncode == 0
    # Names that the compiler of an interpreter adds are no concern of the program's.
    assert ours.stdout.replace("'__annotations__', ", "") == plain.stdout.replace("'__annotations__', ", "")
    assert len(autotrack.runs(store=folder / "code" / "store")) == 1


ENDINGS = {
    "raises": "def f(): raise RuntimeError('as it is')\nf()\n",
    "raises in a chain": "try: 1 / 0\nexcept ZeroDivisionError as error: raise ValueError('chained') from error\n",
    "raises a group": "raise ExceptionGroup('several', [ValueError('a'), TypeError('b')])\n",
    "raises in a library": "import json\njson.loads('{')\n",
    "is no Python": "print(1\nx = = 2\n",
    "imports what is not there": "import nothing_of_this_name\n",
    "is interrupted": "raise KeyboardInterrupt\n",
    "leaves with a text": "import sys\nsys.exit('no data')\n",
    "has a hook of its own": "import sys\n"
    "sys.excepthook = lambda kind, error, trace: print(kind, trace.tb_lineno)\n1 / 0\n",
    "looks at the hook": "import sys\nprint(sys.excepthook is sys.__excepthook__)\n",
    "looks at the hook at the end": "import atexit, sys\n"
    "atexit.register(lambda: print(sys.excepthook is sys.__excepthook__, sys.last_traceback.tb_lineno))\n1 / 0\n",
    "fails in a thread": "import threading\nthread = threading.Thread(target=lambda: 1 / 0, name='t')\n"
    "thread.start()\nthread.join()\n",
}


@pytest.mark.parametrize(
    ("ending", "as_module"),
    [*((ending, False) for ending in ENDINGS), ("raises", True), ("is no Python", True), ("looks at the hook", True)],
)
def test_how_it_ends_is_shown_as_without_us(tmp_path, ending, as_module):
    (tmp_path / "odd.py").write_text(ENDINGS[ending])
    target = ["-m", "odd"] if as_module else ["odd.py"]
    plain = call(*target, cwd=tmp_path)
    ours = call("-m", "autotrack", "run", *target, cwd=tmp_path)
    assert (ours.returncode, ours.stdout, ours.stderr) == (plain.returncode, plain.stdout, plain.stderr)


@pytest.mark.parametrize("name", ["nothing_of_this_name", "json", "json.decoder.x", "."])
def test_a_module_that_cannot_be_run_is_named_as_python_does(folder, name):
    plain = call("-m", name, cwd=folder)
    ours = call("-m", "autotrack", "run", "-m", name, cwd=folder)
    assert plain.returncode == 1
    assert (ours.returncode, ours.stdout, ours.stderr) == (1, plain.stdout, plain.stderr)


def test_a_package_is_run_by_its_main_module(folder):
    (folder / "pack").mkdir()
    (folder / "pack" / "__init__.py").write_text("import sys\nprint(sys.argv[0])\n")
    (folder / "pack" / "__main__.py").write_text("from . import sys\nprint(__name__, __package__, sys.argv)\n1 / 0\n")
    plain = call("-m", "pack", "a", cwd=folder)
    ours = call("-m", "autotrack", "run", "-m", "pack", "a", cwd=folder)
    assert (ours.returncode, ours.stdout, ours.stderr) == (1, plain.stdout, plain.stderr)


def test_processes_of_the_program_find_its_main_module(folder):
    (folder / "spawn.py").write_text(
        "import multiprocessing\n"
        "def twice(x): return 2 * x\n"
        "if __name__ == '__main__':\n"
        "    with multiprocessing.get_context('spawn').Pool(1) as pool: print(pool.map(twice, [1, 2]))\n"
    )
    done = call("-m", "autotrack", "run", "spawn.py", cwd=folder)
    assert (done.returncode, done.stdout) == (0, "[2, 4]\n"), done.stderr


def test_ctrl_c_ends_it_as_python_does(folder):
    (folder / "wait.py").write_text("import time\nprint('now', flush=True)\ntime.sleep(600)\n")
    process = subprocess.Popen(
        [sys.executable, "-m", "autotrack", "run", "wait.py"],
        cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert process.stdout.readline() == "now\n"
        time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode == -signal.SIGINT
    assert said.endswith("KeyboardInterrupt\n")


@pytest.mark.parametrize(
    ("arguments", "env", "code", "words"),
    [
        (["nothing.py"], {}, 2, "nothing.py is not there: give a Python file"),
        (["code"], {}, 2, "code is a folder"),
        ([], {}, 2, "Missing argument 'TARGET'"),
        (["code/train.py"], {"AUTOTRACK_MODELS": "some"}, 1, "models in the environment must be one of"),
    ],
    ids=["absent", "folder", "none", "setting"],
)
def test_what_cannot_be_run_is_said(folder, arguments, env, code, words):
    done = call("-m", "autotrack", "run", *arguments, cwd=folder, **env)
    assert (done.returncode, done.stdout) == (code, "")
    assert words in done.stderr


@pytest.mark.parametrize(("code", "status"), [("0", "finished"), ("None", "finished"), ("3", "failed")])
def test_what_is_open_when_the_program_is_left_ends_as_its_exit_code_says(tmp_path, code, status):
    (tmp_path / "left.py").write_text(f"import autotrack, sys\nautotrack.start_run('mine')\nsys.exit({code})\n")
    done = call("-m", "autotrack", "run", "left.py", cwd=tmp_path)
    assert done.returncode == int(eval(code) or 0)
    (run,) = autotrack.runs(store=tmp_path / "store")
    assert run.status == status
    assert (run.error is None) == (status == "finished")
