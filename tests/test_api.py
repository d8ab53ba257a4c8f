"""The public functions: enable and disable, runs by hand, what is logged where, and how a process may end."""

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import autotrack
from autotrack import context
from autotrack.errors import AmbiguousReference, ConfigError, ModelError, RunNotFound
from autotrack.reader import RunRecord

Script = Callable[..., "subprocess.CompletedProcess[str]"]


def recorded(folder: Path) -> list[RunRecord]:
    """Runs in the store that a script made in its working folder, newest first."""
    return list(autotrack.runs(store=folder / ".autotrack"))


# ---- enable and disable ---------------------------------------------------------------------------------------------


def test_mode_off_does_nothing(script: Script, tmp_path: Path):
    code = """
        import autotrack, os, sys
        autotrack.enable(**MODE)
        with autotrack.start_run("a", tags={"x": "y"}) as run:
            run.log_params({"C": 1})
            autotrack.log_metrics({"loss": 0.5})
            autotrack.set_tags({"x": "z"})
            autotrack.log_artifact(__file__)
            with autotrack.start_run("inner"):
                autotrack.log_params({"D": 1})
        autotrack.log_metrics({"loss": 0.25})
        assert "autotrack_sklearn" not in sys.modules, "plugins are loaded though everything is off"
        import threading
        assert threading.active_count() == 1, threading.enumerate()
        print(len(autotrack.runs()), sorted(os.listdir()))
    """
    done = script(code.replace("**MODE", "mode='off'"))
    assert (done.stdout, done.stderr) == ("0 ['train.py']\n", "")
    done = script(code.replace("**MODE", ""), env={"AUTOTRACK_MODE": "off"})
    assert (done.stdout, done.stderr) == ("0 ['train.py']\n", "")


def test_mode_off_without_a_run(script: Script, tmp_path: Path):
    script(
        "import autotrack; autotrack.log_metrics({'a': 1}); autotrack.log_params({'a': 1})",
        env={"AUTOTRACK_MODE": "off"},
    )
    assert not (tmp_path / ".autotrack").exists()


def test_mode_off_saves_no_model(script: Script):
    """Nothing is done means nothing: a model of gigabytes is not pickled for the waste bin."""
    script("""
        import autotrack
        class Model:
            def __reduce__(self):
                raise AssertionError("pickled")
        autotrack.enable(mode="off")
        with autotrack.start_run() as run:
            run.log_model(Model())
            autotrack.log_model(Model())
    """)


def test_the_argument_wins_over_the_environment(script: Script, tmp_path: Path):
    script(
        "import autotrack; autotrack.enable(mode='on', experiment='mine')\nwith autotrack.start_run(): pass",
        env={"AUTOTRACK_MODE": "off", "AUTOTRACK_EXPERIMENT": "theirs"},
    )
    assert [run.experiment for run in recorded(tmp_path)] == ["mine"]


def test_settings_of_pyproject_reach_the_run(script: Script, tmp_path: Path):
    (tmp_path / "pyproject.toml").write_text('[tool.autotrack]\nexperiment = "from-file"\nstore = "elsewhere"\n')
    script("import autotrack\nwith autotrack.start_run(): pass")
    (run,) = autotrack.runs(store=tmp_path / "elsewhere")
    assert run.experiment == "from-file"


def test_the_default_experiment_is_the_scripts(script: Script, tmp_path: Path):
    script("import autotrack\nwith autotrack.start_run(): pass")
    assert [run.experiment for run in recorded(tmp_path)] == ["train"]


def test_an_unknown_integration_is_named(tracked: Path):
    with pytest.raises(ConfigError, match=r"no integration sklaern; there are: .*sklearn"):
        autotrack.enable(store=tracked, integrations=["sklaern"])


def test_an_unknown_scheme_is_named_and_changes_nothing(tracked: Path):
    with pytest.raises(ConfigError, match="no backend for mlflow-of-mars://"):
        autotrack.enable(store="mlflow-of-mars://host")
    with autotrack.start_run("still-here"):
        pass
    assert [run.name for run in autotrack.runs(store=tracked)] == ["still-here"]


def test_enable_and_disable_twice_from_two_threads(tracked: Path):
    from sklearn.linear_model import LogisticRegression

    autotrack.disable()
    autotrack.disable()
    original = LogisticRegression.fit
    threads = [threading.Thread(target=autotrack.enable, kwargs={"store": tracked}) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    patched = LogisticRegression.fit
    assert patched is not original
    assert patched.__wrapped__ is original
    autotrack.enable(store=tracked)
    assert LogisticRegression.fit is patched
    threads = [threading.Thread(target=autotrack.disable) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert LogisticRegression.fit is original


def test_a_second_enable_changes_settings_and_leaves_open_runs_where_they_are(tracked: Path, tmp_path: Path):
    with autotrack.start_run("first") as run:
        autotrack.enable(store=tmp_path / "other", experiment="second")
        run.log_metrics({"loss": 1.0})
    with autotrack.start_run("second"):
        pass
    assert [(r.name, r.experiment, r.metrics) for r in autotrack.runs(store=tracked)] == [
        ("first", "test", {"loss": 1.0})
    ]
    assert [(r.name, r.experiment) for r in autotrack.runs()] == [("second", "second")]


def test_disable_leaves_runs_by_hand_open(tracked: Path):
    run = autotrack.start_run("by-hand")
    autotrack.disable()
    autotrack.log_metrics({"loss": 1.0})
    run.end()
    assert autotrack.get_run("by-hand").metrics == {"loss": 1.0}


def test_memory_store(script: Script, tmp_path: Path):
    done = script("""
        import autotrack
        autotrack.enable(store="memory://")
        with autotrack.start_run("a") as run:
            run.log_metrics({"loss": 0.5})
        print(autotrack.get_run("a").metrics)
    """)
    assert done.stdout == "{'loss': 0.5}\n"
    assert not (tmp_path / ".autotrack").exists()


def test_file_uri(tracked: Path, tmp_path: Path):
    with autotrack.start_run("x"):
        pass
    assert autotrack.get_run("x", store=f"file://{tracked}").name == "x"


# ---- runs by hand ---------------------------------------------------------------------------------------------------


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
    assert [run.name for run in autotrack.runs("special")] == ["a"]
    assert [run.name for run in autotrack.runs("test")] == ["b"]
    assert list(autotrack.runs("none such")) == []


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


# ---- what integrations use ------------------------------------------------------------------------------------------


def test_a_training_that_its_integration_forgot_to_end_does_not_stay_open(tracked: Path):
    with autotrack.training("test", "Model") as training:
        assert autotrack.in_training()
        assert autotrack.active_run() is training.run
    assert not autotrack.in_training()
    read = autotrack.get_run(training.run.id)
    assert (read.status, read.incomplete, read.by) == ("finished", True, "test")


def test_a_training_in_a_run_by_hand_that_fails_leaves_it_open(tracked: Path):
    with autotrack.start_run("by-hand") as run:
        training = autotrack.begin_training("test", "Model")
        assert training.run is run
        training.end(ValueError("no"))
        assert not run.ended
    read = autotrack.get_run("by-hand")
    assert (read.status, read.notes) == ("finished", [("warning", "a training raised ValueError: no")])


def test_an_ignored_training_makes_no_run(tracked: Path):
    with autotrack.ignored_training("test"):
        assert autotrack.in_training()
        assert autotrack.active_run() is None
    assert list(autotrack.runs()) == []
    assert context.training_scope() is None


# ---- the end of a process -------------------------------------------------------------------------------------------

OPEN = "import autotrack, os, signal, sys, threading\nrun = autotrack.start_run('a')\nrun.log_metrics({'loss': 0.5})\n"


@pytest.mark.parametrize(
    ("ending", "code", "status"),
    [
        ("pass", 0, "finished"),
        ("sys.exit()", 0, "finished"),
        ("sys.exit(0)", 0, "finished"),
        ("raise ValueError('bad')", 1, "failed"),
        ("raise KeyboardInterrupt", -2, "interrupted"),
        ("signal.raise_signal(signal.SIGINT)", -2, "interrupted"),
        ("os._exit(0)", 0, "killed"),
        ("os.kill(os.getpid(), signal.SIGKILL)", -9, "killed"),
        ("os.kill(os.getpid(), signal.SIGTERM)", -15, "killed"),
        ("os.abort()", -6, "killed"),
        # A thread's error is not the script's.
        ("threading.Thread(target=lambda: 1 / 0).start()", 0, "finished"),
        # An error that was caught is none.
        ("try: 1 / 0\nexcept ZeroDivisionError: pass", 0, "finished"),
    ],
)
def test_the_end_of_a_process(script: Script, tmp_path: Path, ending: str, code: int, status: str):
    done = script(OPEN + ending, check=False)
    assert done.returncode == code, done.stderr
    (run,) = recorded(tmp_path)
    assert (run.status, run.metrics) == (status, {"loss": 0.5})
    assert run.problems == []
    if status in ("failed", "interrupted"):
        assert run.error is not None
        assert "train.py" in run.error.traceback
    else:
        assert run.error is None


@pytest.mark.parametrize("by_with", [True, False])
def test_sys_exit_with_a_code(script: Script, tmp_path: Path, by_with: bool):
    """A ``with`` sees the code. Python tells nobody at exit: a run by hand is ``finished``, a known limit."""
    code = "with autotrack.start_run('a'): sys.exit(3)" if by_with else "autotrack.start_run('a'); sys.exit(3)"
    done = script("import autotrack, sys\n" + code, check=False)
    assert done.returncode == 3
    assert [run.status for run in recorded(tmp_path)] == ["failed" if by_with else "finished"]


def test_several_open_runs_all_end(script: Script, tmp_path: Path):
    script(OPEN + "inner = autotrack.start_run('b')\nraise ValueError('bad')", check=False)
    (run,) = recorded(tmp_path)
    assert (run.status, [child.status for child in run.children]) == ("failed", ["failed"])


def test_exceptions_are_reported_as_ever(script: Script):
    """No frame of ours in the traceback, and the same exit code."""
    done = script(OPEN + "raise ValueError('bad')", check=False)
    assert done.stderr.startswith("Traceback (most recent call last):")
    assert done.stderr.endswith("ValueError: bad\n")
    assert done.stderr.count("File ") == 1


def test_a_running_run_is_running_for_others(tmp_path: Path):
    code = "import autotrack\nrun = autotrack.start_run('a')\nprint('go', flush=True)\ninput()\n"
    process = subprocess.Popen(
        [sys.executable, "-c", code], cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "go\n"
        assert [run.status for run in recorded(tmp_path)] == ["running"]
        process.send_signal(signal.SIGKILL)
        process.wait(10)
        assert [run.status for run in recorded(tmp_path)] == ["killed"]
    finally:
        process.kill()
        process.communicate()


def test_the_exit_does_not_wait(script: Script):
    """A short script with a run costs little more than one without."""
    started = time.monotonic()
    script(OPEN + "run.end()")
    assert time.monotonic() - started < 3


def test_a_forked_child_does_not_end_its_parents_run(script: Script, tmp_path: Path):
    script(
        OPEN
        + textwrap.dedent("""
        pid = os.fork()
        if pid == 0:
            run.log_metrics({"child": 1.0})
            sys.exit(0)
        os.waitpid(pid, 0)
        assert not run.ended
        run.log_metrics({"loss": 0.25})
        """)
    )
    (run,) = recorded(tmp_path)
    assert run.metrics == {"loss": 0.25, "child": 1.0}
    assert run.status == "finished"


# ---- reading --------------------------------------------------------------------------------------------------------


def test_reading_an_empty_place_makes_nothing(script: Script, tmp_path: Path):
    done = script("""
        import autotrack
        print(len(autotrack.runs()))
        try:
            autotrack.get_run("@last")
        except autotrack.RunNotFound as error:
            print(error)
    """)
    assert done.stdout.startswith("0\n")
    assert "@last" in done.stdout
    assert os.listdir(tmp_path) == ["train.py"]


def test_load_model_says_what_is_wrong(tracked: Path):
    with autotrack.start_run("empty"):
        pass
    with pytest.raises(ModelError, match="run empty has no model"):
        autotrack.load_model("empty")
    with pytest.raises(RunNotFound):
        autotrack.load_model("absent")


def test_load_model_by_name(tracked: Path):
    from sklearn.tree import DecisionTreeClassifier

    model = DecisionTreeClassifier().fit([[0], [1]], [0, 1])
    run = autotrack.last_run()
    assert run is not None
    run.log_model(model, "second")
    with pytest.raises(ModelError, match=r"name one of: .*/model, .*/second"):
        autotrack.load_model(run.id)
    loaded = autotrack.load_model(f"{run.id}/second", trusted=True)
    assert loaded.predict([[1]]).tolist() == [1]
    with pytest.raises(ModelError, match="no single model 'third'"):
        autotrack.load_model(f"{run.id}/third")


def test_load_model_waits_for_a_helper_that_is_slow_to_start(tracked: Path, monkeypatch: pytest.MonkeyPatch):
    from sklearn.linear_model import LinearRegression

    from autotrack.models import conversion

    start = conversion._start
    monkeypatch.setattr(conversion, "_helper", None)
    monkeypatch.setattr(conversion, "_start", lambda: [time.sleep(0.3), start()][1])
    LinearRegression().fit([[0], [1]], [0, 1])
    loaded = autotrack.load_model("@last")  # needs no trust: it has become a skops file
    assert loaded.predict([[3]]).round(6).tolist() == [3.0]
    conversion.close()


def test_load_model_refuses_a_file_that_was_changed(tracked: Path):
    from sklearn.tree import DecisionTreeClassifier

    DecisionTreeClassifier().fit([[0], [1]], [0, 1])
    run = autotrack.last_run()
    assert run is not None
    assert autotrack.load_model(run.id).predict([[1]]).tolist() == [1]  # by now the helper is done with it
    for file in (tracked / "runs" / run.id / "models").rglob("model.*"):
        file.write_bytes(b"other")
    with pytest.raises(ModelError, match="sha256 differs"):
        autotrack.load_model(run.id, trusted=True)


def test_ambiguous_references_are_listed(tracked: Path):
    ids = []
    for _ in range(2):
        with autotrack.start_run("same") as run:
            ids.append(run.id)
    with pytest.raises(AmbiguousReference) as caught:
        autotrack.get_run("same")
    assert all(run_id in str(caught.value) for run_id in ids)
