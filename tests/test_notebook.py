"""A real Jupyter kernel: trainings split over cells, errors, restarts, and what a person sees."""

from collections.abc import Callable
from pathlib import Path

import pytest

import autotrack
from tests.kernels import WAIT, Kernel

pytestmark = pytest.mark.slow  # kernels of notebooks

DATA = """\
from sklearn.datasets import load_iris
from sklearn.tree import DecisionTreeClassifier
X, y = load_iris(return_X_y=True)"""
FIT = "model = DecisionTreeClassifier(random_state=0).fit(X, y);"


def cells(run: autotrack.RunRecord) -> str:
    with run.open("code/cells.py") as file:
        return file.read().decode()


def test_a_training_over_cells_an_error_and_a_restart(kernel: Callable[..., Kernel], tmp_path: Path):
    notebook = kernel()
    store = tmp_path / "work" / ".autotrack"
    assert notebook.ok("import autotrack\nautotrack.enable()") == dict.fromkeys(
        ["stdout", "stderr", "error", "html", "text"], ""
    )
    notebook.ok(DATA)
    first = notebook.ok('run = autotrack.start_run("split")')
    assert first["stdout"] == ""
    assert first["stderr"].count("\n") == 1
    assert str(store) in first["stderr"]
    for cell in (FIT, 'run.log_metrics({"mine": 1.5})'):
        assert notebook.ok(cell)["stderr"] == ""
    (split,) = autotrack.runs(store=store)
    assert split.status == "running"
    notebook.ok("run.end()")
    notebook.ok(WAIT)

    assert notebook.run('DecisionTreeClassifier(max_depth="deep").fit(X, y)')["error"] == "InvalidParameterError"
    assert notebook.run('with autotrack.start_run("broken"):\n    1 / 0')["error"] == "ZeroDivisionError"
    after = notebook.ok(FIT)
    assert (after["stdout"], after["stderr"]) == ("", "")
    notebook.ok(WAIT)
    runs = {run.name: run for run in autotrack.runs(store=store)}
    last, broken, bad, split = autotrack.runs(store=store)
    assert [run.status for run in (split, bad, broken, last)] == ["finished", "failed", "failed", "finished"]
    assert split.name == "split"
    assert split.metrics["mine"] == 1.5
    assert split.params["random_state"] == 0  # the training in the other cell is this run's
    assert bad.error.type.endswith("InvalidParameterError")
    assert broken.error.type == "ZeroDivisionError"
    assert len(runs) == 4

    text = cells(last)
    order = [text.index(piece) for piece in ("autotrack.enable()", "load_iris", '"split"', "run.end()", "1 / 0")]
    assert order == sorted(order)
    assert text.rstrip().endswith(FIT.rstrip(";")) or FIT in text.rpartition("# %%")[2]
    assert "1 / 0" not in cells(split)  # only the cells run until then

    notebook.ok('run = autotrack.start_run("open at the restart")')
    notebook.restart()
    (reopened, *_) = autotrack.runs(store=store)
    assert reopened.status in ("finished", "interrupted", "killed")
    notebook.ok("import autotrack\nautotrack.enable()")
    notebook.ok(DATA)
    again = notebook.ok(FIT + "\n" + WAIT)
    assert again["stderr"].count("\n") == 1  # a new process says it again
    newest = autotrack.runs(store=store)[0]
    assert newest.status == "finished"
    assert newest.session != last.session
    assert "1 / 0" not in cells(newest)


def test_a_kernel_that_is_killed(kernel: Callable[..., Kernel], tmp_path: Path):
    notebook = kernel()
    notebook.ok('import autotrack\nrun = autotrack.start_run("open")\nrun.log_metrics({"loss": 0.5})')
    notebook.restart(now=True)
    (run,) = autotrack.runs(store=tmp_path / "work" / ".autotrack")
    assert run.status == "killed"
    assert run.metrics == {"loss": 0.5}
    with_run = notebook.ok('import autotrack\nwith autotrack.start_run("next"): pass')
    assert with_run["stdout"] == ""
    assert autotrack.runs(store=tmp_path / "work" / ".autotrack")[0].status == "finished"


def test_silence_and_safe_tables(kernel: Callable[..., Kernel]):
    """Names in a store may be hostile; what a notebook shows of them is text."""
    notebook = kernel(AUTOTRACK_ANNOUNCE="0")
    made = notebook.ok("""
import autotrack
name = "<img src=x onerror=alert(1)>"
with autotrack.start_run(name, experiment=name, tags={name: name}) as run:
    run.log_params({name: name})
    run.log_metrics({name: 1.0})
    run.note(name)
try:
    with autotrack.start_run(name): raise ValueError(name)
except ValueError: pass
""")
    assert (made["stdout"], made["stderr"]) == ("", "")
    for code in ("autotrack.runs()", "autotrack.runs()[0]", "autotrack.get_run('@last')", "autotrack.get_run(run.id)"):
        shown = notebook.ok(code)
        assert "&lt;img src=x onerror=alert(1)&gt;" in shown["html"]
        assert "<img" not in shown["html"]
        assert "<script" not in shown["html"]
        assert (shown["stdout"], shown["stderr"]) == ("", "")
        assert shown["html"].count("<table") == 1 or "<h5>" in shown["html"]
        assert "<pre" not in shown["html"]  # rich shows what it prints, beside what the cell is worth
        assert "\x1b" not in shown["text"]


def test_announce_can_be_switched_off_by_the_project(kernel: Callable[..., Kernel], tmp_path: Path):
    (tmp_path / "work" / "pyproject.toml").write_text("[tool.autotrack]\nannounce = false\n")
    notebook = kernel()
    assert notebook.ok("import autotrack\nwith autotrack.start_run(): pass")["stderr"] == ""


def test_scores_in_later_cells_find_the_run(kernel):
    cells = kernel()
    cells.ok("from sklearn.metrics import accuracy_score\nimport autotrack; autotrack.enable()")
    cells.ok("from sklearn.datasets import load_iris; from sklearn.naive_bayes import GaussianNB")
    cells.ok("X_test, y_test = load_iris(return_X_y=True)\nmodel = GaussianNB().fit(X_test, y_test)")
    cells.ok("predicted = model.predict(X_test)")
    cells.ok("accuracy_score(y_test, predicted)")
    cells.ok("accuracy_score(y_test, list(predicted))")
    cells.ok("accuracy_score([0, 1], [0, 1])")
    shown = cells.ok(
        "run = autotrack.get_run('@last'); print(sorted(run.metrics), len(run.history('accuracy_on_X_test')))"
    )
    assert "'accuracy', 'accuracy_on_X_test'" in shown["stdout"]
    assert shown["stdout"].strip().endswith(" 2")
