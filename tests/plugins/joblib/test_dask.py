"""joblib on dask's workers: threads of this process, and processes that record nothing unless asked."""

import pytest

import autotrack

pytest.importorskip("distributed")

SCRIPT = """
    import sys, warnings
    import autotrack
    autotrack.enable(store="store", models="never")
    import joblib
    from distributed import Client
    from sklearn.datasets import load_iris
    from sklearn.model_selection import GridSearchCV
    from sklearn.naive_bayes import GaussianNB

    X, y = load_iris(return_X_y=True)

    def train(smoothing):
        if autotrack.active_run() is not None:
            autotrack.log_metrics({"seen": smoothing})
        return GaussianNB(var_smoothing=smoothing).fit(X, y).var_smoothing

    if __name__ == "__main__":
        processes = sys.argv[1] == "processes"
        with Client(n_workers=1, threads_per_worker=2, processes=processes, dashboard_address=None):
            with joblib.parallel_config("dask"):
                search = GridSearchCV(GaussianNB(), {"var_smoothing": [0.1, 1.0]}, cv=3).fit(X, y)
                with autotrack.start_run("by hand"):
                    values = joblib.Parallel()(joblib.delayed(train)(value) for value in (0.25, 0.5))
        assert values == [0.25, 0.5]
        print(search.cv_results_["mean_test_score"].tolist())
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("workers", "asked"), [("threads", "0"), ("threads", "1"), ("processes", "0"), ("processes", "1")]
)
def test_dask(script, tmp_path, workers, asked):
    scores = eval(script(SCRIPT, workers, env={"AUTOTRACK_DASK": asked}).stdout.splitlines()[-1])
    runs = list(autotrack.runs(store=tmp_path / "store"))
    search, by_hand = (next(run for run in runs if run.name.startswith(name)) for name in ("GridSearchCV", "by hand"))
    assert [child.params["var_smoothing"] for child in search.children] == [0.1, 1.0]
    assert [child.metrics["mean_test_score"] for child in search.children] == scores
    assert all(len(child.history("test_score")) == 3 for child in search.children)
    seen = sorted(point.value for point in by_hand.history("seen")) if "seen" in by_hand.metrics else []
    inside = sorted(child.params["var_smoothing"] for child in by_hand.children)
    inside += [by_hand.params["var_smoothing"]] if "var_smoothing" in by_hand.params else []
    if workers == "threads" or asked == "1":
        assert (seen, sorted(inside)) == ([0.25, 0.5], [0.25, 0.5])
        assert len(runs) == 2
    else:  # the worker imports the script, and so records for itself what is no part of the search
        assert (seen, inside) == ([], [])
        assert sorted(run.params["var_smoothing"] for run in runs if run not in (search, by_hand)) == [0.25, 0.5]
    for run in (search, by_hand):
        assert (run.status, run.problems) == ("finished", [])
