"""Plugins of other people, as real distributions: found by their entry points; broken ones change nothing."""

import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

import autotrack
from autotrack import plugins

Offer = Callable[..., None]

TRAIN = """
    import logging, sys
    import autotrack
    autotrack.enable()
    import framework
    print(framework.Model().fit(21))
    with autotrack.start_run("by-hand"):
        autotrack.log_metrics({"loss": 0.5})
"""

GOOD = """
    import autotrack

    class Mine(autotrack.Integration):
        name = "mine"
        modules = ("framework",)
        minimum = ("framework", "1.0")

        def install(self, module, patches):
            patches.around(module.Model, "fit", self.record)

        def record(self, call):
            with autotrack.training(self.name, type(call.instance).__name__) as training:
                outcome = yield
                training.run.capture(params={"x": call.bound["x"]})
                training.end(outcome.exception)

    @autotrack.hookimpl
    def autotrack_integrations():
        return [Mine()]
"""


@pytest.fixture
def offer(tmp_path: Path) -> Offer:
    """Make a distribution with one module, named by an entry point of the group ``autotrack``."""

    def make(name: str, code: str, value: str = "") -> None:
        site = tmp_path / "site"
        info = site / f"{name}-1.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[autotrack]\n{name} = {value or name}\n")
        (site / f"{name}.py").write_text(textwrap.dedent(code))

    return make


@pytest.fixture
def train(tmp_path: Path) -> Callable[..., "subprocess.CompletedProcess[str]"]:
    """Run a script that sees the offered distributions, as users run theirs: not strict."""

    def run(code: str = TRAIN, **env: str) -> "subprocess.CompletedProcess[str]":
        (tmp_path / "train.py").write_text(textwrap.dedent(code))
        variables = {key: value for key, value in os.environ.items() if not key.startswith("AUTOTRACK_")}
        path = os.pathsep.join(filter(None, [str(tmp_path / "site"), variables.get("PYTHONPATH")]))
        done = subprocess.run(
            [sys.executable, "train.py"],
            cwd=tmp_path,
            env={**variables, "PYTHONPATH": path, **env},
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done

    return run


FRAMEWORK = """
    __version__ = "1.2"

    class Model:
        def fit(self, x):
            return x * 2
"""

BROKEN = {
    "raises on import": "raise RuntimeError('no libcuda')",
    "is no Python": "def (",
    "needs what is not there": "import a_module_that_is_not_there",
    "hook raises": """
        import autotrack
        @autotrack.hookimpl
        def autotrack_integrations():
            raise RuntimeError("no libcuda")
    """,
    "formats hook raises": """
        import autotrack
        @autotrack.hookimpl
        def autotrack_model_formats():
            raise RuntimeError("no libcuda")
    """,
    "hook wants an argument that there is not": """
        import autotrack
        @autotrack.hookimpl
        def autotrack_integrations(config):
            return []
    """,
    "hook gives no list": """
        import autotrack
        @autotrack.hookimpl
        def autotrack_integrations():
            return 3
    """,
    "integration is something else": """
        import autotrack
        @autotrack.hookimpl
        def autotrack_integrations():
            return ["sklearn"]
    """,
    "integration without its attributes": """
        import autotrack
        class Bad(autotrack.Integration):
            name = "bad"
        @autotrack.hookimpl
        def autotrack_integrations():
            return [Bad()]
    """,
    "integration that forgot its constructor": """
        import autotrack
        class Bad(autotrack.Integration):
            name, modules, minimum = "bad", ("json",), ("json", "0")
            def __init__(self):
                pass
        @autotrack.hookimpl
        def autotrack_integrations():
            return [Bad()]
    """,
    "install raises": """
        import autotrack
        class Bad(autotrack.Integration):
            name, modules, minimum = "bad", ("json",), ("json", "0")
            def install(self, module, patches):
                raise RuntimeError("no such class")
        @autotrack.hookimpl
        def autotrack_integrations():
            return [Bad()]
    """,
    "format is something else": """
        import autotrack
        @autotrack.hookimpl
        def autotrack_model_formats():
            return [object()]
    """,
    "formats are no list": """
        import autotrack
        @autotrack.hookimpl
        def autotrack_model_formats():
            return 3
    """,
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_broken_plugin_is_named_once_and_changes_nothing(offer: Offer, train, tmp_path: Path, what: str):
    (tmp_path / "framework.py").write_text(textwrap.dedent(FRAMEWORK))
    offer("brokenplugin", BROKEN[what])
    offer("goodplugin", GOOD)
    done = train()
    assert done.stdout == "42\n"
    assert done.stderr.count("autotrack failed in ") == 1, done.stderr
    assert "brokenplugin" in done.stderr or "'bad'" in done.stderr
    runs = autotrack.runs(store=tmp_path / ".autotrack")
    assert [run.status for run in runs] == ["finished", "finished"]
    assert runs[0].metrics == {"loss": 0.5}
    assert (runs[1].by, runs[1].params) == ("mine", {"x": 21})


def test_a_broken_plugin_beside_a_good_one(offer: Offer, train):
    """Whichever comes first."""
    offer("aaa", BROKEN["hook raises"])
    offer("zzz", BROKEN["hook wants an argument that there is not"])
    offer("mmm", GOOD)
    done = train("""
        import autotrack
        autotrack.enable(integrations=["mine", "sklearn"])
        print("enabled")
    """)
    assert done.stdout == "enabled\n"
    assert done.stderr.count("autotrack failed in ") == 2
    assert "'aaa'" in done.stderr
    assert "'zzz'" in done.stderr


def test_strict_raises_what_is_broken(offer: Offer, train):
    offer("brokenplugin", BROKEN["raises on import"])
    done = train("""
        import autotrack
        try:
            autotrack.enable()
        except RuntimeError as error:
            print(error)
    """, AUTOTRACK_STRICT="1")  # fmt: skip
    assert done.stdout == "no libcuda\n"


def test_mode_off_loads_no_plugin(offer: Offer, train, tmp_path: Path):
    """The warning about a broken plugin says that this switches autotrack off."""
    offer("brokenplugin", BROKEN["raises on import"])
    (tmp_path / "framework.py").write_text(textwrap.dedent(FRAMEWORK))
    done = train(AUTOTRACK_MODE="off")
    assert (done.stdout, done.stderr) == ("42\n", "")


def test_a_good_plugin_records_its_framework(offer: Offer, train, tmp_path: Path):
    offer("goodplugin", GOOD)
    (tmp_path / "framework.py").write_text(
        "__version__ = '1.2'\nclass Model:\n    def fit(self, x):\n        return x * 2\n"
    )
    done = train("""
        import autotrack
        autotrack.enable(integrations=["mine"])
        import framework
        print(framework.Model().fit(21))
        autotrack.disable()
        print(framework.Model().fit(1))
    """)
    assert (done.stdout, done.stderr) == ("42\n2\n", "")
    (run,) = autotrack.runs(store=tmp_path / ".autotrack")
    assert (run.by, run.params, run.status) == ("mine", {"x": 21}, "finished")
    assert run.name.startswith("Model-")


def test_a_framework_that_is_too_old_is_left_alone(offer: Offer, train, tmp_path: Path):
    offer("goodplugin", GOOD)
    (tmp_path / "framework.py").write_text(
        "__version__ = '0.9.9'\nclass Model:\n    def fit(self, x):\n        return x * 2\n"
    )
    done = train("import autotrack; autotrack.enable(); import framework; print(framework.Model().fit(21))")
    assert done.stdout == "42\n"
    assert not (tmp_path / ".autotrack" / "runs").exists()


def test_of_two_integrations_with_one_name_the_second_is_named(offer: Offer, train, tmp_path: Path):
    offer("aaa", GOOD)
    offer("zzz", GOOD)
    done = train("import autotrack; autotrack.enable()")
    assert len(done.stderr.splitlines()) == 1
    assert "'mine' of plugin 'zzz'" in done.stderr  # the one that is not used


def test_what_is_installed_here_loads():
    """Our own plugins are found the way a third party's is, and each loads without its framework."""
    code = (
        "import sys\n"
        "from autotrack import plugins\n"
        "print(sorted(plugin.name for plugin in plugins.found() if plugin.status == 'loaded'))\n"
        "print(sorted({'sklearn', 'joblib', 'numpy', 'skops'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    names, heavy = done.stdout.splitlines()
    assert "sklearn" in names
    assert heavy == "[]"
    assert {integration.name for integration in plugins.integrations()} >= {"sklearn"}
