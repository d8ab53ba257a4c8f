"""Long loops: a hundred runs from one line, then children of one run."""

import threading
from pathlib import Path

import numpy
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_iris
from sklearn.ensemble import StackingClassifier, VotingClassifier
from sklearn.linear_model import SGDClassifier
from sklearn.metrics import accuracy_score
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import GaussianNB

import autotrack
from autotrack import series as series_module
from autotrack.backends.housekeeping import housekeeper

X, y = load_iris(return_X_y=True)
few = slice(None, None, 10)
LIMIT = 10


@pytest.fixture(autouse=True)
def limit(monkeypatch):
    """So that not every test trains a hundred models; scripts keep to the real one."""
    assert series_module.LIMIT == 100
    monkeypatch.setattr(series_module, "LIMIT", LIMIT)


def fit(number=1):
    """The one line that trains here; returns the last model."""
    for _ in range(number):
        model = GaussianNB(var_smoothing=0.25).fit(X[few], y[few])
    return model


def recorded():
    """(runs of their own, series), oldest first."""
    runs = list(autotrack.runs(limit=1000))[::-1]
    return [run for run in runs if "series" not in run.tags], [run for run in runs if "series" in run.tags]


def test_a_long_loop_becomes_a_series(tracked):
    fit(LIMIT + 5)
    own, (series,) = recorded()
    assert len(own) == LIMIT
    assert series.status == "running"
    assert series.name.startswith("GaussianNB-series-")
    assert series.by == "sklearn"
    assert series.tags == {"series": f"test_series.py:{fit.__code__.co_firstlineno + 3}"}
    assert "log_model" in series.notes[0][1]
    assert [child.name for child in series.children] == ["GaussianNB"] * 5
    for run in (own[0], own[-1], *series.children):
        assert (run.status, run.incomplete) == ("finished", False)
        assert run.params["var_smoothing"] == 0.25
        assert run.facts["data"]["X"]["shape"] == [15, 4]
        assert run.metrics["fit_time"] > 0
    assert series.children[-1].start > series.children[0].start > own[-1].start
    autotrack.disable()
    _, (series,) = recorded()
    assert series.status == "finished"


def test_children_of_a_series_have_no_files(tracked):
    fit(LIMIT + 20)
    _, (series,) = recorded()
    assert all(child.models == {} and child.artifacts == {} and child.notes == [] for child in series.children)
    folder = tracked / "runs" / series.id
    assert not (folder / "children").exists()
    assert len(list((folder / "journal").iterdir())) == 1


def test_a_search_and_its_scores_make_no_files_there_either(tracked):
    for _ in range(LIMIT + 2):
        model = GridSearchCV(GaussianNB(), {"var_smoothing": [0.1, 1.0]}, cv=2).fit(X[few], y[few])
        accuracy_score(y[few], model.predict(X[few]))
    autotrack.disable()
    own, (series,) = recorded()
    assert "cv_results.csv" in own[0].artifacts
    for child in series.children:
        assert child.metrics["best_score"] == model.best_score_
        assert [candidate.params["var_smoothing"] for candidate in child.children] == [0.1, 1.0]
    assert housekeeper.wait_idle(60)
    assert not (tracked / "runs" / series.id / "children").exists()


def test_a_long_text_among_the_params_of_a_child_makes_no_file(tracked):
    for _ in range(LIMIT + 1):
        with pytest.raises(ValueError, match="class_weight"):
            SGDClassifier(class_weight="x" * 100_000).fit(X, y)
    own, (series,) = recorded()
    assert list((tracked / "runs" / own[0].id / "params").iterdir())
    assert not (tracked / "runs" / series.id / "children").exists()
    (child,) = series.children
    assert str(child.params["class_weight"]).startswith("xxx")
    assert (child.status, child.error.type) == ("failed", "sklearn.utils._param_validation.InvalidParameterError")


def test_what_comes_after_the_fit_belongs_to_the_child(tracked):
    fit(LIMIT + 1)
    autotrack.log_metrics({"accuracy": 0.5})
    model = fit()
    autotrack.log_metrics({"accuracy": 0.75})
    autotrack.log_model(model)
    autotrack.log_params({"text": "t" * 100_000})
    autotrack.disable()
    autotrack.set_tags({"after": "disable"})
    _, (series,) = recorded()
    assert [child.metrics["accuracy"] for child in series.children] == [0.5, 0.75]
    assert series.children[1].tags == {"after": "disable"}
    loaded = autotrack.load_model(series.children[1].id)
    assert numpy.array_equal(loaded.predict_proba(X), model.predict_proba(X))
    assert len(list((tracked / "runs" / series.id / "children" / "2" / "params").iterdir())) == 1


def test_always_means_always(tracked):
    autotrack.enable(store=tracked, experiment="test", models="always")
    fit(LIMIT + 2)
    _, (series,) = recorded()
    assert [list(child.models) for child in series.children] == [["model"], ["model"]]
    assert not any("not saved" in text for _, text in series.notes)


def test_each_line_counts_for_itself(tracked):
    for _ in range(6):
        GaussianNB().fit(X[few], y[few])
        GaussianNB().fit(X[few], y[few])
    own, series = recorded()
    assert (len(own), series) == (12, [])


def test_threads_that_train_at_one_line_share_a_series(tracked):
    threads = [threading.Thread(target=fit, args=(6,)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    own, (series,) = recorded()
    assert len(own) == LIMIT
    assert len(series.children) == 18 - LIMIT
    assert {child.status for child in series.children} == {"finished"}


def test_children_of_a_run_opened_by_hand_are_no_series(tracked):
    with autotrack.start_run("mine"):
        fit(LIMIT + 10)
    fit(LIMIT)
    own, series = recorded()
    assert own[0].name == "mine"
    assert len(own[0].children) == LIMIT + 9
    assert (len(own), series) == (LIMIT + 1, [])


def test_runs_opened_by_hand_in_a_loop_stay_runs(tracked):
    for number in range(LIMIT + 5):
        with autotrack.start_run(f"run {number}"):
            fit()
    own, series = recorded()
    assert (len(own), series) == (LIMIT + 5, [])


def test_another_store_begins_anew(tracked, tmp_path):
    fit(LIMIT + 1)
    autotrack.enable(store=tracked, experiment="test", models="auto")  # changes nothing
    fit()
    autotrack.enable(store=tmp_path / "other", experiment="test")
    fit()
    assert len(autotrack.runs(store=tmp_path / "other")) == 1
    (series, *_) = autotrack.runs(store=tracked)
    assert (series.status, len(series.children)) == ("finished", 2)


def test_estimators_that_learn_by_partial_fit_are_counted_too(tracked):
    models = []
    for _ in range(LIMIT + 3):
        models.append(SGDClassifier().partial_fit(X[few], y[few], classes=[0, 1, 2]))
        models[-1].partial_fit(X[few], y[few])
    autotrack.disable()
    own, (series,) = recorded()
    assert len(own) == LIMIT
    assert [len(child.history("fit_time")) for child in series.children] == [2] * 3
    assert {child.status for child in series.children} == {"finished"}


@pytest.mark.parametrize(
    "make",
    [
        lambda: StackingClassifier([("a", GaussianNB()), ("b", GaussianNB())], cv=2),
        lambda: CalibratedClassifierCV(GaussianNB(), cv=2),
        lambda: VotingClassifier([("a", GaussianNB()), ("b", GaussianNB())]),
    ],
    ids=["stacking", "calibrated", "voting"],
)
def test_an_ensemble_counts_once(make, tracked):
    for _ in range(6):
        make().fit(X[::5], y[::5])
    own, series = recorded()
    assert (len(own), series) == (6, [])
    assert all(run.children == [] for run in own)


SCRIPT = """
    import os, sys
    import autotrack
    autotrack.enable(store="store", models="never")
    from sklearn.datasets import load_iris
    from sklearn.naive_bayes import GaussianNB
    X, y = load_iris(return_X_y=True)
    for number in range(110):
        GaussianNB().fit(X[::10], y[::10])
        if number == 105:
            {then}
"""


def series_of(store: Path):
    (series,) = [run for run in autotrack.runs(store=store) if "series" in run.tags]
    return series


@pytest.mark.slow
@pytest.mark.parametrize(
    ("then", "status", "children"),
    [
        ("pass", "finished", 10),
        ("raise RuntimeError('no')", "failed", 6),
        ("raise KeyboardInterrupt", "interrupted", 6),
        ("sys.exit(0)", "finished", 6),
        ("os.kill(os.getpid(), 9)", "killed", 6),
    ],
    ids=["to its end", "error", "ctrl-c", "exit", "kill"],
)
def test_how_a_series_ends(then, status, children, script, tmp_path):
    script(SCRIPT.format(then=then), check=False)
    series = series_of(tmp_path / "store")
    assert (series.status, len(series.children)) == (status, children)
    assert {child.status for child in series.children} == {"finished"}
    if status == "failed":
        assert series.error.message == "no"


def test_a_forked_child_goes_on_in_the_series(script, tmp_path):
    script(
        SCRIPT.format(then="pid = os.fork(); pid and os.waitpid(pid, 0)")
        + "    \n    if not pid: os._exit(0)\n    print('done')\n"
    )
    series = series_of(tmp_path / "store")
    assert (series.status, len(series.children)) == ("finished", 6 + 4 + 4)
    assert {child.status for child in series.children} == {"finished"}


def test_a_cell_that_is_run_again_is_another_loop(script, tmp_path):
    pytest.importorskip("IPython")
    done = script(
        """
        import autotrack
        from IPython.core.interactiveshell import InteractiveShell

        autotrack.enable(store="store", models="never", experiment="cells")
        shell = InteractiveShell.instance()
        shell.run_cell('''
        from sklearn.datasets import load_iris
        from sklearn.naive_bayes import GaussianNB
        X, y = load_iris(return_X_y=True)
        ''', store_history=True)
        loop = "for _ in range({}): GaussianNB().fit(X[::10], y[::10])"
        shell.run_cell(loop.format(60), store_history=True)
        shell.run_cell(loop.format(60), store_history=True)
        print([run.tags for run in autotrack.runs() if run.tags])
        shell.run_cell(loop.format(105), store_history=True)
        print([(run.status, len(run.children)) for run in autotrack.runs() if run.tags])
        shell.run_cell("GaussianNB().fit(X[::10], y[::10]);", store_history=True)
        print([(run.status, len(run.children)) for run in autotrack.runs() if run.tags], len(autotrack.runs()))
        """,
        env={"IPYTHONDIR": str(tmp_path / "ipython"), "HOME": str(tmp_path)},
    )
    assert done.stdout.splitlines()[-3:] == ["[]", "[('running', 5)]", "[('finished', 5)] 222"]


@pytest.mark.slow
def test_ten_thousand_bootstrap_fits(script, tmp_path):
    """Few files, few descriptors, every fit on record."""
    done = script(
        """
        import os
        import autotrack
        autotrack.enable(store="store")
        from sklearn.datasets import load_iris
        from sklearn.naive_bayes import GaussianNB
        from sklearn.utils import resample
        X, y = load_iris(return_X_y=True)
        before = len(os.listdir("/dev/fd"))
        most = 0
        for number in range(10_000):
            GaussianNB().fit(*resample(X, y, random_state=number))
            if number % 100 == 0:
                most = max(most, len(os.listdir("/dev/fd")))
        print(most - before)
        """,
        timeout=600,
    )
    store = tmp_path / "store"
    assert int(done.stdout) <= 80  # 64 journals, and what housekeeping has open
    runs = autotrack.runs(store=store)
    assert len(runs) == 101
    assert len(runs[0].children) == 9_900
    files = [path for path in store.rglob("*") if path.is_file()]
    assert len(files) < 800
    assert len([path for path in store.rglob("*") if path.is_dir()]) < 800
