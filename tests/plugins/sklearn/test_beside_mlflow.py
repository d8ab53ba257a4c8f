"""MLflow's autologging in the same process: both record, whoever comes first, whoever goes."""

from importlib.util import find_spec

import pytest

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("mlflow") is None, reason="MLflow is not installed"),
]

SCRIPT = """
    import sys, time
    import autotrack
    from autotrack.backends import housekeeping

    housekeeping.PERIOD = 0.2

    def ours():
        autotrack.enable(store="store", models="never", experiment="both")

    if sys.argv[1] == "ours first":
        ours()
    import mlflow
    import numpy
    from sklearn.naive_bayes import GaussianNB
    from sklearn.linear_model import LinearRegression

    mlflow.set_tracking_uri("sqlite:///mlflow.db")
    X, y = numpy.arange(20.0).reshape(10, 2), numpy.arange(10) % 2

    def theirs(disable=False):
        mlflow.sklearn.autolog(
            log_models=False, log_datasets=False, log_post_training_metrics=False, silent=True, disable=disable
        )

    def counts(what):
        print(what, len(autotrack.runs()), len(mlflow.search_runs(search_all_experiments=True)))

    theirs()
    if sys.argv[1] != "ours first":
        ours()
    GaussianNB().fit(X, y)
    counts("both")
    assert autotrack.runs()[0].tags == {}, "MLflow did not start it"
    assert autotrack.runs()[0].children == []
"""

ONE_GOES = (
    SCRIPT
    + """
    theirs(disable=True)
    if sys.argv[1] == "mlflow first":
        GaussianNB().fit(X, y)  # MLflow took our wrapper along
        time.sleep(2)
    GaussianNB().fit(X, y)
    counts("mlflow off")
    theirs()
    LinearRegression().fit(X, y)
    counts("mlflow on")
    autotrack.disable()
    LinearRegression().fit(X, y)
    counts("ours off")
    ours()
    GaussianNB().fit(X, y)
    counts("ours on")
    """
)


@pytest.mark.parametrize("order", ["ours first", "mlflow first"])
def test_both_record_and_ours_comes_back(order, script):
    done = script(ONE_GOES, order, timeout=300)
    assert done.stdout.splitlines() == [
        "both 1 1", "mlflow off 2 1", "mlflow on 3 2", "ours off 3 3", "ours on 4 4",
    ]  # fmt: skip
    assert ("removed by another library" in done.stderr) == (order == "mlflow first")


def test_it_is_said_at_exit_that_nothing_was_recorded(script):
    done = script(
        SCRIPT.replace("PERIOD = 0.2", "PERIOD = 600")
        + """
    theirs(disable=True)
    GaussianNB().fit(X, y)
    counts("mlflow off")
    """,
        "mlflow first",
        timeout=300,
    )
    assert done.stdout.splitlines() == ["both 1 1", "mlflow off 1 1"]
    assert "removed by another library (" in done.stderr
    assert "were not recorded" in done.stderr
