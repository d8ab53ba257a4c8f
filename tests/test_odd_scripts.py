"""Scripts in odd surroundings train as they would without us, and are recorded where that is possible."""

import threading

import pytest
from sklearn.naive_bayes import GaussianNB

import autotrack
from autotrack.api import session_in_use


@pytest.mark.slow
@pytest.mark.parametrize("store", ["given", "found"])
def test_the_working_folder_is_gone(store, script, tmp_path):
    done = script(
        """
        import os, sys, tempfile
        folder = tempfile.mkdtemp()
        os.chdir(folder)
        os.rmdir(folder)
        import autotrack
        autotrack.enable(store=sys.argv[1] or None)
        from sklearn.naive_bayes import GaussianNB
        print(GaussianNB().fit([[0.0], [1.0]], [0, 1]).predict([[1.0]]))
        """,
        str(tmp_path / "store") if store == "given" else "",
    )
    assert done.stdout == "[1]\n"
    if store == "given":
        (run,) = autotrack.runs(store=tmp_path / "store")
        assert (run.status, run.incomplete, list(run.models)) == ("finished", False, ["model"])
        assert run.experiment == "train"
    else:
        assert "Your training goes on" in done.stderr


def test_a_signal_handler_trains_while_its_thread_is_within_ours(tracked):
    """Python runs handlers between two instructions of the main thread, whatever lock that holds."""
    GaussianNB().fit([[0.0], [1.0]], [0, 1])
    session = session_in_use()

    def handler():
        with session._facts._lock:
            GaussianNB().fit([[0.0], [1.0]], [0, 1])

    thread = threading.Thread(target=handler, daemon=True)
    thread.start()
    thread.join(60)
    assert not thread.is_alive()
    assert len(autotrack.runs()) == 2


def test_runs_opened_in_concurrent_tasks(script, tmp_path):
    script(
        """
        import asyncio
        import autotrack
        autotrack.enable(store="store", models="never")
        from sklearn.naive_bayes import GaussianNB

        async def one(number):
            with autotrack.start_run(f"task {number}"):
                await asyncio.sleep(0.01)
                GaussianNB().fit([[0.0], [1.0]], [0, 1])
                autotrack.log_metrics({"number": number})
                await asyncio.to_thread(GaussianNB().fit, [[0.0], [1.0]], [0, 1])

        async def main():
            await asyncio.gather(*(one(number) for number in range(3)))

        asyncio.run(main())
        """
    )
    runs = sorted(autotrack.runs(store=tmp_path / "store"), key=lambda run: run.name)
    assert [(run.name, run.metrics["number"], len(run.children)) for run in runs] == [
        ("task 0", 0.0, 1), ("task 1", 1.0, 1), ("task 2", 2.0, 1),
    ]  # fmt: skip
