"""What ``autotrack plugins`` says of each plugin: made of real distributions, asked in processes of their own."""

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import autotrack

pytestmark = [pytest.mark.slow, pytest.mark.every_python]  # processes that import every framework

INTEGRATION = """
    import autotrack

    class Mine(autotrack.Integration):
        name = "{name}"
        modules = ("{module}",)
        minimum = ("{module}", "1.0")

        def install(self, module, patches):
            patches.around(module.Model, "fit", self.record)

        def record(self, call):
            with autotrack.training(self.name, "Model") as training:
                outcome = yield
                training.end(outcome.exception)

    @autotrack.hookimpl
    def autotrack_integrations():
        return [Mine()]
"""
FRAMEWORK = "__version__ = '{version}'\nclass Model:\n    def fit(self, x):\n        return x * 2\n"


class Site:
    """A folder of distributions, and processes that see it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.site = folder / "site"
        self.site.mkdir()

    def plugin(self, name: str, code: str) -> None:
        info = self.site / f"{name}-2.5.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 2.5\n")
        (info / "entry_points.txt").write_text(f"[autotrack]\n{name} = {name}\n")
        self.module(name, code)

    def module(self, name: str, code: str) -> None:
        (self.site / f"{name}.py").write_text(textwrap.dedent(code))

    def run(self, *command: str, **env: str) -> "subprocess.CompletedProcess[str]":
        variables = {key: value for key, value in os.environ.items() if not key.startswith("AUTOTRACK_")}
        return subprocess.run(
            [sys.executable, *command],
            cwd=self.folder, env={**variables, "PYTHONPATH": str(self.site), "COLUMNS": "200", **env},
            capture_output=True, text=True, timeout=300,
        )  # fmt: skip

    def states(self, **env: str) -> dict[str, dict]:
        """Rows by plugin."""
        done = self.run("-m", "autotrack", "plugins", "--json", **env)
        assert done.returncode == 0, done.stderr
        return {row["plugin"]: row for row in json.loads(done.stdout)}


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def test_all_states_at_once_in_json_and_in_the_table(site: Site):
    site.module("good_framework", FRAMEWORK.format(version="1.2"))
    site.module("old_framework", FRAMEWORK.format(version="0.9"))
    site.module("bad_framework", "raise OSError('no libcuda')")
    for name in ("good", "missing", "old", "bad"):
        site.plugin(f"{name}one", INTEGRATION.format(name=name, module=f"{name}_framework"))
    site.plugin("raising", "raise RuntimeError('what a day')")
    site.plugin("exiting", "import sys\nsys.exit(3)")
    site.plugin("hookless", "")
    site.plugin("hook", "import autotrack\n@autotrack.hookimpl\ndef autotrack_integrations():\n    raise KeyError('x')")
    site.module("fifth_framework", FRAMEWORK.format(version="1.2"))
    site.plugin(
        "install", INTEGRATION.format(name="fifth", module="fifth_framework").replace("module.Model", "module.Gone")
    )
    expected = {
        "goodone": ("good", "active", "good_framework 1.2, 1 patches"),
        "missingone": ("missing", "framework missing", "missing_framework is not installed"),
        "oldone": ("old", "wrong version", "old_framework 0.9 is older than 1.0"),
        "badone": ("bad", "import error", "OSError: no libcuda"),
        "raising": ("", "import error", "RuntimeError: what a day"),
        "exiting": ("", "import error", "SystemExit: 3"),
        "hookless": ("", "loaded", ""),
        "hook": ("", "dropped after errors", "autotrack_integrations raised KeyError: 'x'"),
        "install": ("fifth", "dropped after errors", "AttributeError"),
    }
    states = site.states()
    for name, (records, status, why) in expected.items():
        row = states[name]
        assert (row["from"], row["records"], row["status"]) == (f"{name} 2.5", records, status), row
        assert row["why"].startswith(why) if name == "install" else row["why"] == why
    shown = site.run("-m", "autotrack", "plugins").stdout
    for _, status, why in expected.values():
        assert status in shown
        assert why in shown


def test_waiting_for_its_framework_until_it_is_imported(site: Site):
    site.module("good_framework", FRAMEWORK.format(version="1.2"))
    site.plugin("goodone", INTEGRATION.format(name="good", module="good_framework"))
    done = site.run(
        "-c",
        "import autotrack\n"
        "from autotrack.cli.plugins import plugin_rows\n"
        "status = lambda load: {row['plugin']: row['status'] for row in plugin_rows(load)}['goodone']\n"
        "print(status(False))\n"
        "import good_framework\n"
        "before = good_framework.Model.fit\n"
        "print(status(False), good_framework.Model.fit is before)\n",
    )
    assert done.stdout == "waiting for its framework\nactive True\n", done.stderr


def test_an_old_scikit_learn_is_named_with_the_one_that_is_needed(site: Site):
    (site.site / "sklearn").mkdir()
    (site.site / "sklearn" / "__init__.py").write_text("__version__ = '1.2.2'\n")
    (site.site / "sklearn" / "base.py").write_text("class BaseEstimator: pass\nclass TransformerMixin: pass\n")
    row = site.states()["sklearn"]
    assert row["status"] == "wrong version"
    assert "1.2.2" in row["why"]
    assert "1.5" in row["why"]
    done = site.run("-c", "import autotrack; autotrack.enable(); import sklearn.base; print('trained')")
    assert (done.returncode, done.stdout) == (0, "trained\n")


def test_the_allow_list(site: Site):
    site.module("good_framework", FRAMEWORK.format(version="1.2"))
    site.plugin("goodone", INTEGRATION.format(name="good", module="good_framework"))
    site.plugin("raising", "raise RuntimeError('what a day')")
    done = site.run("-m", "autotrack", "plugins", "--json", AUTOTRACK_PLUGINS=" goodone ,other")
    states = {row["plugin"]: row for row in json.loads(done.stdout)}
    assert states["goodone"]["status"] == "active"
    assert {row["status"] for name, row in states.items() if name != "goodone"} == {"blocked"}
    assert states["raising"]["why"] == "AUTOTRACK_PLUGINS does not name it"
    assert done.stderr == ""  # a blocked plugin is not imported


def test_an_empty_allow_list_blocks_all(site: Site):
    site.plugin("raising", "raise RuntimeError('what a day')")
    assert {row["status"] for row in site.states(AUTOTRACK_PLUGINS="").values()} == {"blocked"}
    code = "import autotrack; autotrack.enable()\nwith autotrack.start_run('a'): pass\nprint(len(autotrack.runs()))"
    done = site.run("-c", code, AUTOTRACK_PLUGINS="")
    assert (done.stdout, done.stderr) == ("1\n", "")


def test_tracing_goes_to_stderr_only(site: Site):
    site.plugin("goodone", INTEGRATION.format(name="good", module="good_framework"))
    code = "import autotrack; autotrack.enable()\nwith autotrack.start_run('a'): print('trained')"
    done = site.run("-c", code, AUTOTRACK_TRACE_PLUGINS="1")
    assert done.stdout == "trained\n"
    lines = done.stderr.splitlines()
    assert any(line.startswith("autotrack: hook autotrack_integrations -> goodone") for line in lines)
    assert any("hook autotrack_model_formats -> sklearn" in line for line in lines)
    assert any("gave [[" in line and "Mine" in line for line in lines)
    assert site.run("-c", code, AUTOTRACK_TRACE_PLUGINS="0").stderr == ""


def test_of_two_with_one_name_the_second_says_whose_it_is(site: Site):
    for name in ("first", "second"):
        site.plugin(name, INTEGRATION.format(name="mine", module="good_framework"))
    states = site.states()
    assert states["first"]["records"] == "mine"
    assert states["second"]["records"] == ""
    assert "plugin 'first' has an integration of this name already" in states["second"]["why"]


@pytest.mark.parametrize("code", ["import sys\nsys.exit(3)", "raise RuntimeError('what a day')"])
def test_a_broken_plugin_changes_nothing_for_a_training_and_is_named(site: Site, code: str):
    site.plugin("broken", code)
    train = (
        "import autotrack, numpy\nautotrack.enable(models='never')\n"
        "from sklearn.linear_model import LinearRegression\n"
        "print(LinearRegression().fit(numpy.eye(2), [1.0, 2.0]).coef_.tolist())\n"
    )
    done = site.run("-c", train)
    plain = site.run("-c", train, AUTOTRACK_MODE="off")
    assert (done.returncode, done.stdout) == (0, plain.stdout)
    assert plain.stderr == ""
    assert done.stderr.count("autotrack failed in ") == 1
    assert "'broken'" in done.stderr
    (run,) = autotrack.runs(store=site.folder / ".autotrack")
    assert (run.status, run.by) == ("finished", "sklearn")


def test_an_integration_that_fails_again_and_again_is_dropped_and_says_so(site: Site):
    site.module("good_framework", FRAMEWORK.format(version="1.2"))
    code = INTEGRATION.replace("with autotrack.training", "raise ValueError('oh')\n            with autotrack.training")
    site.plugin("failing", code.format(name="failing", module="good_framework"))
    done = site.run(
        "-c",
        "import autotrack; autotrack.enable()\n"
        "import good_framework\n"
        "print([good_framework.Model().fit(number) for number in range(8)])\n"
        "print({i.name: i.status for i in autotrack.api._session.integrations}['failing'])\n",
    )
    assert done.stdout == f"{[2 * number for number in range(8)]}\ndropped after errors\n", done.stderr
    assert "switched its integration 'failing' off" in done.stderr


RAISING = """
    import autotrack

    class Mine(autotrack.Integration):
        name = "mine"
        modules = ("json",)
        minimum = ("json", "1.0")

        def install(self, module, patches):
            pass

        def {method}(self):
            super().{method}()
            raise RuntimeError("no driver here")

    @autotrack.hookimpl
    def autotrack_integrations():
        return [Mine()]
"""
TRAIN = """
import autotrack, json, numpy
autotrack.enable(models="never")
from sklearn.linear_model import LinearRegression
print(LinearRegression().fit(numpy.eye(2), [1.0, 2.0]).coef_.tolist())
autotrack.disable()
autotrack.enable(models="never")
print({i.name: i.status for i in autotrack.api._session.integrations}["mine"])
"""


@pytest.mark.parametrize(("method", "status"), [("enable", "dropped after errors"), ("disable", "active")])
def test_an_integration_that_cannot_be_switched_stops_nobody(site: Site, method: str, status: str):
    site.plugin("faulty", RAISING.format(method=method))
    done = site.run("-c", TRAIN)
    assert (done.returncode, done.stdout.splitlines()[1:]) == (0, [status]), done.stderr
    what = f"{method.removesuffix('e')}ing the integration 'mine' of faulty"
    assert done.stderr.count(f"autotrack failed in {what} (RuntimeError: no driver here)") == 1
    assert len(autotrack.runs(store=site.folder / ".autotrack")) == 1  # by the others
    strict = site.run("-c", TRAIN, AUTOTRACK_STRICT="1")
    assert strict.returncode == 1
    assert strict.stderr.endswith("RuntimeError: no driver here\n")
    assert site.states()["faulty"]["records"] == "mine"


def test_after_an_install_that_failed_no_further_module_is_patched(site: Site):
    code = INTEGRATION.replace('modules = ("{module}",)', 'modules = ("{module}", "later_framework")')
    code = code.replace("patches.around", 'assert module.__name__ != "early_framework"; patches.around')
    site.plugin("half", code.format(name="half", module="early_framework"))
    for name in ("early_framework", "later_framework"):
        site.module(name, FRAMEWORK.format(version="1.2"))
    for order in ("", "import early_framework, later_framework\n"):
        done = site.run(
            "-c",
            f"{order}import autotrack; autotrack.enable()\n"
            "import early_framework, later_framework\n"
            "print(later_framework.Model().fit(2), hasattr(later_framework.Model.fit, '__wrapped__'))\n"
            "print({i.name: i.status for i in autotrack.api._session.integrations}['half'])\n",
        )
        assert done.stdout == "4 False\ndropped after errors\n", done.stderr


def test_listing_puts_everything_back():
    from sklearn.base import BaseEstimator
    from sklearn.linear_model import LogisticRegression

    from autotrack.cli.plugins import plugin_rows

    def attributes():
        classes, waiting = {}, [BaseEstimator]
        while waiting:
            cls = waiting.pop()
            if cls.__module__.startswith("sklearn."):
                classes[cls] = {name: vars(cls).get(name) for name in ("fit", "fit_predict", "transform")}
            waiting.extend(type.__subclasses__(cls))
        return classes

    autotrack.disable()
    before = attributes()
    assert LogisticRegression in before
    rows = {row["records"]: row for row in plugin_rows()}
    assert rows["sklearn"]["status"] == "active"
    assert int(rows["sklearn"]["why"].split()[-2]) > 20  # patches that were in place
    after = attributes()
    assert all(after[cls][name] is method for cls, methods in before.items() for name, method in methods.items())
