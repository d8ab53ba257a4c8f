"""A forked child has copies of its parent's open models: what becomes of them the parent says."""

import json

import pytest

import autotrack

pytestmark = [pytest.mark.slow, pytest.mark.every_python]  # pools of processes

CODE = """
    import multiprocessing, os, sys
    import autotrack
    from sklearn.linear_model import SGDClassifier
    from sklearn.neural_network import MLPClassifier

    autotrack.enable(store="store")
    X, y = [[0.0], [1.0], [2.0], [3.0]], [0, 0, 1, 1]
    warm = MLPClassifier((2,), max_iter=1, warm_start=True)
    {warnings}
    warm.fit(X, y)
    warm.fit(X, y)
    online = SGDClassifier().partial_fit(X, y, classes=[0, 1])

    def work(number):
        SGDClassifier(alpha=number).fit(X, y)

    if sys.argv[1] == "fork":
        child = os.fork()
        if child == 0:
            work(1.0)
            del online, warm
            sys.exit(0)
        assert os.waitpid(child, 0)[1] == 0
    else:
        with multiprocessing.get_context("fork").Pool(1) as pool:
            pool.map(work, [1.0])
            pool.close()
            pool.join()
    online.partial_fit(X, y)
"""


def check(script, tmp_path, how):
    script(CODE.replace("{warnings}", "import warnings; warnings.simplefilter('ignore')"), how)
    inner, online, warm = autotrack.runs(store=tmp_path / "store")
    assert inner.params["alpha"] == 1.0
    for run, steps, saved in ((online, 2, 1), (warm, 2, 2), (inner, 1, 1)):
        assert (run.status, run.problems) == ("finished", [])
        assert len(run.history("fit_time")) == steps
        assert not [text for _, text in run.notes if "gone" in text]
        journals = (tmp_path / "store" / "runs" / run.id / "journal").iterdir()
        lines = [json.loads(line) for journal in journals for line in journal.read_bytes().splitlines()]
        assert len([line for line in lines if line["k"] == "model" and line["format"] == "pickle"]) == saved


def test_after_a_fork(script, tmp_path):
    check(script, tmp_path, "fork")


def test_after_the_end_of_a_worker(script, tmp_path):
    check(script, tmp_path, "pool")
