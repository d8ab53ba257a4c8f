"""Runs that a person opens: nesting, parents, logging, threads."""

import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import autotrack
from autotrack.errors import ModelError

Script = Callable[..., "subprocess.CompletedProcess[str]"]


def test_a_run_by_with(tracked: Path):
    with autotrack.start_run("a", tags={"team": "vision"}) as run:
        assert autotrack.active_run() is run
        autotrack.log_params({"C": 1.0, "flag": True, "layers": [1, 2]})
        autotrack.log_metrics({"loss": 0.5}, step=3, epoch=1)
        assert autotrack.get_run("a").status == "running"
    assert autotrack.active_run() is None
    assert autotrack.last_run() is run
    read = autotrack.get_run("a")
    assert (read.status, read.experiment, read.tags) == ("finished", "test", {"team": "vision"})
    assert read.params == {"C": 1.0, "flag": True, "layers": [1, 2]}
    assert [(p.step, p.epoch, p.value) for p in read.history("loss")] == [(3, 1, 0.5)]
    assert read.duration is not None
    assert 0 <= read.duration < 60
    assert abs(read.start - time.time()) < 60


def test_a_run_by_hand(tracked: Path):
    run = autotrack.start_run()
    assert run.name == f"run-{run.id.partition('-')[2][:6]}"
    autotrack.log_metrics({"loss": 0.5})
    run.end()
    run.end("failed")  # a second time nothing happens
    assert autotrack.get_run(run.id).status == "finished"
    assert autotrack.active_run() is None


def test_an_error_inside_with_is_the_runs_and_goes_on(tracked: Path):
    error = ValueError("too \x1b[31mred")
    with pytest.raises(ValueError, match="too") as caught:
        with autotrack.start_run("a"):
            raise error
    assert caught.value is error
    read = autotrack.get_run("a")
    assert read.status == "failed"
    assert read.error is not None
    assert (read.error.type, read.error.message) == ("ValueError", "too \x1b[31mred")
    assert "raise error" in read.error.traceback


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (KeyboardInterrupt(), "interrupted"),
        (SystemExit(0), "finished"),
        (SystemExit(None), "finished"),
        (SystemExit(3), "failed"),
        (SystemExit("no data"), "failed"),
    ],
)
def test_status_by_what_left_the_with(tracked: Path, error: BaseException, status: str):
    with pytest.raises(type(error)):
        with autotrack.start_run("a"):
            raise error
    assert autotrack.get_run("a").status == status


def test_nested_runs_are_children(tracked: Path):
    with autotrack.start_run("outer") as outer:
        with autotrack.start_run("inner", tags={"k": "v"}) as inner:
            assert autotrack.active_run() is inner
            autotrack.log_metrics({"loss": 1.0})
            with autotrack.start_run("innermost"):
                autotrack.log_metrics({"loss": 3.0})
        assert autotrack.active_run() is outer
        autotrack.log_metrics({"loss": 2.0})
    assert [run.name for run in autotrack.runs()] == ["outer"]
    read = autotrack.get_run("outer")
    assert read.metrics == {"loss": 2.0}
    (child,) = read.children
    assert (child.name, child.metrics, child.tags, child.status) == ("inner", {"loss": 1.0}, {"k": "v"}, "finished")
    assert child.parent == outer.id
    assert child.id == inner.id
    assert [run.metrics for run in child.children] == [{"loss": 3.0}]


def test_nested_by_hand_ended_in_any_order(tracked: Path):
    outer = autotrack.start_run("outer")
    inner = autotrack.start_run("inner")
    outer.end()
    assert autotrack.active_run() is inner
    inner.end()
    assert autotrack.active_run() is None
    assert autotrack.last_run() is inner
    assert [child.status for child in autotrack.get_run("outer").children] == ["finished"]


def test_parent_given_as_a_run(tracked: Path):
    with autotrack.start_run("parent") as parent:
        pass
    with autotrack.start_run("other"):
        with autotrack.start_run("child", parent=parent):
            autotrack.log_metrics({"loss": 1.0})
    assert [(run.name, run.metrics) for run in autotrack.get_run("parent").children] == [("child", {"loss": 1.0})]
    assert autotrack.get_run("other").children == []
    assert autotrack.get_run("parent").status == "finished"


@pytest.mark.parametrize("nested", [True, False])
def test_a_child_with_an_experiment_of_its_own_is_still_a_child(tracked: Path, nested: bool):
    with autotrack.start_run("parent") as parent:
        with autotrack.start_run("child", experiment="other", parent=None if nested else parent) as child:
            pass
    assert autotrack.get_run(child.id).experiment == "other"
    assert autotrack.get_run(child.id).parent == parent.id
    assert [run.name for run in autotrack.runs()] == ["parent"]


def test_parent_given_by_id(tracked: Path):
    with autotrack.start_run("parent") as parent:
        pass
    with autotrack.start_run("child", parent=parent.id) as child:
        pass
    assert autotrack.get_run(child.id).parent == parent.id
    assert [run.name for run in autotrack.runs()] == ["parent"]


def test_runs_of_one_process_sort_by_start(tracked: Path):
    """Also where many begin in one millisecond."""
    for index in range(30):
        autotrack.start_run(str(index)).end()
    assert [run.name for run in autotrack.runs()] == [str(index) for index in range(29, -1, -1)]
    assert autotrack.get_run("@last").name == "29"


def test_experiment_of_one_run(tracked: Path):
    with autotrack.start_run("a", experiment="special"):
        pass
    with autotrack.start_run("b"):
        pass
    assert [run.name for run in autotrack.runs(experiment="special")] == ["a"]
    assert [run.name for run in autotrack.runs(experiment="test")] == ["b"]
    assert list(autotrack.runs(experiment="none such")) == []


def test_logging_without_a_run_raises(script: Script, tmp_path: Path):
    script("""
        import autotrack
        for call in (
            lambda: autotrack.log_params({"a": 1}),
            lambda: autotrack.log_metrics({"a": 1}),
            lambda: autotrack.set_tags({"a": "b"}),
            lambda: autotrack.log_artifact(__file__),
            lambda: autotrack.log_model(object()),
            lambda: autotrack.log_figure(object(), "a"),
        ):
            try:
                call()
            except autotrack.NoActiveRun as error:
                assert "start_run" in str(error)
            else:
                raise AssertionError("went nowhere")
        assert autotrack.active_run() is None and autotrack.last_run() is None
    """)
    assert not (tmp_path / ".autotrack").exists()


def test_logging_after_the_end_is_kept_and_changes_no_status(tracked: Path):
    with autotrack.start_run("a") as run:
        autotrack.log_metrics({"loss": 1.0})
    autotrack.log_metrics({"accuracy": 0.5})
    autotrack.set_tags({"late": "yes"})
    run.log_params({"C": 1})
    read = autotrack.get_run("a")
    assert read.metrics == {"loss": 1.0, "accuracy": 0.5}
    assert (read.tags, read.params, read.status) == ({"late": "yes"}, {"C": 1}, "finished")


def test_what_is_logged_by_structure_wrongly_raises(tracked: Path, tmp_path: Path):
    with autotrack.start_run():
        for call in (autotrack.log_params, autotrack.log_metrics, autotrack.set_tags):
            with pytest.raises(TypeError, match="takes a mapping such as"):
                call(["loss", 1])
        with pytest.raises(FileNotFoundError, match="there is no file"):
            autotrack.log_artifact(tmp_path / "absent")
        with pytest.raises(ModelError, match=r"no installed plugin can save a builtins\.object"):
            autotrack.log_model(object())
        with pytest.raises(TypeError, match="matplotlib or plotly"):
            autotrack.log_figure(object(), "plot")
        with pytest.raises(autotrack.ArtifactPathError):
            autotrack.log_artifact(__file__, "../up")


def test_another_threads_run_is_its_own(tracked: Path):
    seen = {}

    def work(name: str, barrier: threading.Barrier) -> None:
        with autotrack.start_run(name):
            barrier.wait(10)
            seen[name] = autotrack.active_run().name
            autotrack.log_metrics({"who": float(name)})
            barrier.wait(10)

    barrier = threading.Barrier(3)
    threads = [threading.Thread(target=work, args=(str(index), barrier)) for index in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert seen == {"0": "0", "1": "1", "2": "2"}
    assert sorted((run.name, run.metrics["who"]) for run in autotrack.runs()) == [("0", 0.0), ("1", 1.0), ("2", 2.0)]


def test_a_thread_without_a_run_logs_to_the_only_one(tracked: Path):
    with autotrack.start_run("only"):
        thread = threading.Thread(target=autotrack.log_metrics, args=({"loss": 1.0},))
        thread.start()
        thread.join(30)
    assert autotrack.get_run("only").metrics == {"loss": 1.0}


def test_the_first_training_in_a_run_is_its_own_and_each_further_one_a_child(tracked: Path):
    from sklearn.tree import DecisionTreeClassifier

    with autotrack.start_run("by-hand") as run:
        DecisionTreeClassifier(max_depth=2).fit([[0], [1]], [0, 1])
        DecisionTreeClassifier(max_depth=3).fit([[0], [1]], [0, 1])
    read = autotrack.get_run(run.id)
    assert read.params["max_depth"] == 2
    assert [child.params["max_depth"] for child in read.children] == [3]
