"""enable() and disable(), and what integrations use."""

import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

import autotrack
from autotrack import context
from autotrack.errors import ConfigError
from tests.reading import recorded

Script = Callable[..., "subprocess.CompletedProcess[str]"]


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
    with pytest.raises(ConfigError, match="serves mlflow-of-mars://"):
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


def test_an_error_that_has_no_text_is_the_users_all_the_same(tracked):
    class Wordless(Exception):
        def __str__(self):
            raise LookupError("no words")

    with autotrack.start_run("by hand") as run:
        training = autotrack.begin_training("test", "Model")
        training.end(Wordless())
    assert autotrack.get_run(run.id).notes == [("warning", "a training raised Wordless: ")]
