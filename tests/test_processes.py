"""Processes that a program starts anew: what docs/run-rules.md says of them."""

import os
import subprocess
import sys
import textwrap

import pytest

import autotrack

pytestmark = [pytest.mark.slow, pytest.mark.every_python]  # pools of processes

POOL = """
    import multiprocessing, sys
    {line}
    from sklearn.naive_bayes import GaussianNB

    def train(smoothing):
        GaussianNB(var_smoothing=smoothing).fit([[0.0], [1.0]], [0, 1])
        return smoothing

    if __name__ == "__main__":
        pool = multiprocessing.get_context(sys.argv[1]).Pool(2)
        print(pool.map(train, [0.25, 0.5]))
        pool.close()
        pool.join()
"""


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_a_line_at_the_top_serves_the_workers_too(script, tmp_path, method):
    line = "import autotrack, autotrack.facts; autotrack.enable(store='store', models='never')"
    line += "; autotrack.facts.EXIT_WAIT = 60.0"  # the machine may be slow
    assert script(POOL.replace("{line}", line), method).stdout == "[0.25, 0.5]\n"
    runs = autotrack.runs(store=tmp_path / "store")
    assert sorted(run.params["var_smoothing"] for run in runs) == [0.25, 0.5]
    for run in runs:
        assert (run.status, run.experiment, run.problems) == ("finished", "train", [])
        assert run.facts.keys() >= {"environment", "packages", "hardware"}
        assert "code/train.py" in run.artifacts


def test_of_a_program_that_was_run_only_what_it_forks_is_recorded(tmp_path):
    (tmp_path / "train.py").write_text(textwrap.dedent(POOL.replace("{line}", "")))
    for method, count in (("spawn", 0), ("fork", 2)):
        store = tmp_path / method
        done = subprocess.run(
            [sys.executable, "-m", "autotrack", "run", "train.py", method],
            cwd=tmp_path, env={**os.environ, "AUTOTRACK_STORE": str(store)},
            capture_output=True, text=True, timeout=120,
        )  # fmt: skip
        assert (done.returncode, done.stdout, done.stderr) == (0, "[0.25, 0.5]\n", "")
        assert (len(autotrack.runs(store=store)) if store.exists() else 0) == count
