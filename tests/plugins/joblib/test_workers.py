"""Worker processes: they record in files of their own, enabled by what the tasks bring along."""

import os
import pickle
import signal
import sys
import warnings

import joblib
import pytest
from autotrack_joblib.worker import Task
from joblib.externals.loky.process_executor import TerminatedWorkerError
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.datasets import load_iris
from sklearn.ensemble import VotingClassifier
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import autotrack

X, y = load_iris(return_X_y=True)
PROCESSES = ["loky", "multiprocessing"]


def train(smoothing):
    GaussianNB(var_smoothing=smoothing).fit(X, y)
    return os.getpid()


def train_in_a_nested_pool(smoothing):
    return joblib.Parallel(2, backend="threading")(joblib.delayed(train)(smoothing * factor) for factor in (1.0, 2.0))


def log(value):
    autotrack.log_metrics({"by_hand": value})
    return autotrack.in_training()


def writers(store, run):
    return len(list((store / "runs" / run.id / "journal").iterdir()))


@pytest.mark.parametrize("backend", PROCESSES)
def test_fits_in_workers_make_runs(tracked, backend):
    autotrack.enable(store=tracked, experiment="test", models="never")
    joblib.Parallel(2, backend=backend)(joblib.delayed(os.getpid)() for _ in range(2))  # loky's pool runs already
    pids = joblib.Parallel(2, backend=backend)(joblib.delayed(train)(value) for value in (1e-3, 1e-2, 1e-1))
    assert os.getpid() not in pids
    GaussianNB().fit(X, y)
    runs = autotrack.runs()
    assert sorted(run.params["var_smoothing"] for run in runs) == [1e-9, 1e-3, 1e-2, 1e-1]
    assert {(run.status, run.experiment, run.by) for run in runs} == {("finished", "test", "sklearn")}
    assert len({run.session for run in runs}) == 1


@pytest.mark.parametrize("backend", PROCESSES)
def test_fits_in_workers_are_children_of_a_run_opened_by_hand(tracked, backend):
    autotrack.enable(store=tracked, experiment="test", models="never")
    with autotrack.start_run("by hand") as opened:
        joblib.Parallel(2, backend=backend)(joblib.delayed(train)(value) for value in (1e-3, 1e-2, 1e-1))
        opened.log_metrics({"after": 1.0})
    (run,) = autotrack.runs()
    assert (run.name, run.status, run.problems) == ("by hand", "finished", [])
    assert sorted(child.params["var_smoothing"] for child in run.children) == [1e-3, 1e-2, 1e-1]
    assert {(child.status, child.experiment, child.session) for child in run.children} == {
        ("finished", "test", run.session)
    }
    assert len({child.id for child in run.children}) == 3
    assert 2 <= writers(tracked, run) <= 3


def test_a_pool_follows_its_parent(tracked, tmp_path):
    """Workers of loky live on when their parent enables another store, or disables."""
    autotrack.enable(store=tracked, models="never")
    tasks = [joblib.delayed(train)(value) for value in (1e-3, 1e-2)]
    joblib.Parallel(2)(tasks)
    autotrack.enable(store=tmp_path / "other", models="never")
    joblib.Parallel(2)(tasks)
    autotrack.disable()
    joblib.Parallel(2)(tasks)
    assert len(autotrack.runs(store=tracked)) == 2
    assert len(autotrack.runs(store=tmp_path / "other")) == 2


def test_nested_pools(tracked):
    autotrack.enable(store=tracked, models="never")
    with autotrack.start_run("by hand"):
        joblib.Parallel(2)(joblib.delayed(train_in_a_nested_pool)(value) for value in (1e-3, 1e-1))
    (run,) = autotrack.runs()
    assert sorted(child.params["var_smoothing"] for child in run.children) == [1e-3, 2e-3, 1e-1, 2e-1]


@pytest.mark.parametrize("backend", PROCESSES)
def test_what_is_logged_by_hand_in_a_worker(tracked, backend):
    with autotrack.start_run("by hand"):
        inside = joblib.Parallel(2, backend=backend)(joblib.delayed(log)(float(value)) for value in range(3))
    (run,) = autotrack.runs()
    assert inside == [False] * 3
    assert sorted(point.value for point in run.history("by_hand")) == [0.0, 1.0, 2.0]


@pytest.mark.parametrize("backend", PROCESSES)
def test_searches_within_folds_in_workers_leave_a_summary(tracked, backend):
    inner = make_pipeline(StandardScaler(), GridSearchCV(GaussianNB(), {"var_smoothing": [1e-9, 1e-3]}, cv=2))
    with joblib.parallel_config(backend, n_jobs=2):
        scores = cross_val_score(inner, X, y, cv=3)
    (run,) = autotrack.runs()
    assert run.children == []
    assert [point.value for point in sorted(run.history("test_score"))] == scores.tolist()
    assert len(run.facts["searches"]) == 3
    assert {summary["candidates"] for summary in run.facts["searches"].values()} == {2}


def test_a_worker_that_is_new_to_autotrack(script, tmp_path):
    """The script enables under its main guard only, as workers import nothing of it."""
    script("""
        import joblib
        from sklearn.datasets import load_iris
        from sklearn.naive_bayes import GaussianNB

        def train(smoothing):
            GaussianNB(var_smoothing=smoothing).fit(*load_iris(return_X_y=True))

        if __name__ == "__main__":
            import autotrack
            autotrack.enable(store=".autotrack", models="never")
            joblib.Parallel(2)(joblib.delayed(train)(value) for value in (1e-3, 1e-2, 1e-1))
    """)
    runs = autotrack.runs(store=tmp_path / ".autotrack")
    assert sorted(run.params["var_smoothing"] for run in runs) == [1e-3, 1e-2, 1e-1]
    assert {run.experiment for run in runs} == {"train"}


# ---- the object that travels ----------------------------------------------------------------------------------------


def double(value):
    return 2 * value


def fail():
    raise LookupError("the user's own")


def warn():
    warnings.warn("look here", stacklevel=2)


def context(**changes):
    settings = {"store": "nowhere", "integrations": ()}
    return {"pid": 0, "session": "s", "settings": settings, "run": "", "experiment": "", "training": "", **changes}


def test_a_task_goes_through_pickle(tracked):
    task = pickle.loads(pickle.dumps(Task(double, autotrack.worker_context())))
    assert type(task) is Task
    assert task(21) == 42
    with pytest.raises(LookupError, match="the user's own"):
        Task(fail, autotrack.worker_context())()


def test_where_autotrack_cannot_be_imported_the_function_itself_arrives(script, tmp_path):
    (tmp_path / "task.pickle").write_bytes(pickle.dumps(Task(len, context())))
    done = script("""
        import pickle, sys
        from importlib.machinery import PathFinder
        sys.path[:] = [entry for entry in sys.path if PathFinder.find_spec("autotrack_joblib", [entry]) is None]
        task = pickle.load(open("task.pickle", "rb"))
        print(task, task([1, 2, 3]))
    """)
    assert done.stdout == "<built-in function len> 3\n"


def test_a_worker_in_which_we_fail_runs_the_task(script):
    done = script(
        """
        from autotrack_joblib.worker import Task
        print(Task(len, {"pid": 0, "settings": {"no such": "setting"}, "session": ""})([1, 2, 3]))
        """,
        env={"AUTOTRACK_STRICT": "0"},
    )
    assert done.stdout == "3\n"
    assert done.stderr.count("autotrack failed in a worker process") == 1


def test_warnings_point_where_they_would():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        Task(warn, context(pid=os.getpid()))()
    assert caught[0].filename == __file__


# ---- what goes wrong ------------------------------------------------------------------------------------------------


class Dies(ClassifierMixin, BaseEstimator):
    def __init__(self, how="well"):
        self.how = how

    def fit(self, X, y):
        if self.how == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        self.classes_ = [0, 1, 2]
        return self

    def predict(self, X):
        return [0] * len(X)


def test_a_worker_that_is_killed(tracked):
    with joblib.parallel_config("loky", n_jobs=2), pytest.raises(TerminatedWorkerError, match="SIGKILL"):
        GridSearchCV(Dies(), {"how": ["well", "killed"]}, cv=2).fit(X, y)
    (run,) = autotrack.runs()
    assert run.status == "failed"
    assert run.error.type.endswith("TerminatedWorkerError")
    assert "SIGKILL" in run.error.message
    joblib.Parallel(2)(joblib.delayed(train)(value) for value in (1e-3, 1e-2))  # the next pool works
    assert len(autotrack.runs()) == 3


def test_an_estimator_that_cannot_be_pickled(tracked):
    grid = GridSearchCV(GaussianNB(priors=sys), {"var_smoothing": [1e-9, 1e-3]}, cv=2)
    grid.estimator.priors = (value for value in ())  # no pickle knows generators
    with joblib.parallel_config("loky", n_jobs=2):
        autotrack.disable()
        with pytest.raises(BaseException) as expected:  # noqa: PT011  whatever it is without us
            grid.fit(X, y)
        autotrack.enable(store=tracked)
        with pytest.raises(type(expected.value)) as caught:
            grid.fit(X, y)
    assert str(caught.value) == str(expected.value)
    (run,) = autotrack.runs()
    assert run.status == "failed"


@pytest.mark.parametrize("backend", ["threading", "loky", "multiprocessing"])
def test_a_task_that_raises(tracked, backend):
    with pytest.raises(LookupError) as caught:
        joblib.Parallel(2, backend=backend)(joblib.delayed(fail)() for _ in range(2))
    assert caught.value.args == ("the user's own",)


def test_an_ensemble_in_workers_is_one_run(tracked):
    VotingClassifier([("a", GaussianNB()), ("b", GaussianNB())], n_jobs=2).fit(X, y)
    (run,) = autotrack.runs()
    assert run.children == []
