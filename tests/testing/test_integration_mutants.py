"""``IntegrationSuite`` catches each mutant of a good integration, and names the point of the contract."""

import importlib
import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from autotrack.testing import contract_run
from autotrack.testing.contract import Spec
from autotrack.testing.integration_suite import IntegrationSuite

TOY = Path(__file__).parent / "toy"


def _mutants():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(TOY)
        return importlib.import_module("toy_plugin").MUTANTS


MUTANTS = _mutants()
LATE = ("light", "late_import", "late_disable")  # checks of a process in which autotrack comes first


def mutants(checks=None):
    """Those that are caught by these checks, or by all others than those with a process of their own."""
    return [name for name, (check, _, _) in MUTANTS.items() if (check in checks if checks else check not in APART)]


APART = (*LATE, "by_value")


@pytest.fixture(scope="module", autouse=True)
def installed(tmp_path_factory):
    """The plugin, as if it were installed; only processes of these tests find it."""
    site = tmp_path_factory.mktemp("site")
    info = site / "toy_plugin-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: toy-plugin\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[autotrack]\ntoy = toy_plugin\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join([str(site), str(TOY)]), prepend=os.pathsep)
        yield site


class TestGood(IntegrationSuite):
    integration = "Good"
    modules = ("toyframe",)
    patched = ("toyframe:Model.fit", "toyframe:tune")
    by_name = ("toyframe:tune",)
    source = """
        import random

        import toyframe

        def train():
            data = toyframe.Data([1.0, 2.0, 6.0])
            model = toyframe.Model().fit(data)
            return [model.predict(data), toyframe.tune(data).mean_, random.random()]

        def instances():
            return [toyframe.Model(), toyframe.Model().fit(toyframe.Data([1.0]))]
    """
    by_value = """
        import toyframe

        class Mine(toyframe.Model):
            def fit(self, data):
                return super().fit(data, weight=2.0)

        def use():
            return Mine().fit(toyframe.Data([1.0, 2.0])).mean_
    """


def run_checks():
    """In a process of its own: each mutant in the check that should catch it."""
    result, given = {}, json.loads(Path("spec.json").read_text())
    Spec(given).load()
    for name, check in json.loads(Path("mutants.json").read_text()).items():
        Path(name).mkdir()
        os.chdir(name)
        spec = Spec({**given, "integration": name})
        spec.load()
        result[name] = contract_run.in_fork(check, contract_run.FRAMEWORK_FIRST[check], spec)
        os.chdir("..")
    Path("result.json").write_text(json.dumps(result))


@pytest.fixture(scope="module")
def caught(tmp_path_factory):
    """By mutant, what the check says that should catch it."""
    folder = tmp_path_factory.mktemp("mutants")
    given = {key: getattr(TestGood, key) for key in ("integration", "modules", "patched", "by_name")}
    (folder / "spec.json").write_text(json.dumps({**given, "source": textwrap.dedent(TestGood.source)}))
    (folder / "mutants.json").write_text(json.dumps({name: MUTANTS[name][0] for name in mutants()}))
    settings = {name: value for name, value in os.environ.items() if not name.startswith("AUTOTRACK_")}
    done = subprocess.run(
        [sys.executable, __file__],
        cwd=folder,
        env={**settings, "AUTOTRACK_STRICT": "1"},
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stderr
    return json.loads((folder / "result.json").read_text())


@pytest.mark.parametrize("name", mutants())
def test_a_mutant_is_caught_and_its_point_named(caught, name):
    _, point, words = MUTANTS[name]
    assert caught[name].startswith(f"patch contract {point}: "), caught[name]
    assert words in caught[name]


@pytest.mark.parametrize("name", mutants(LATE))
def test_a_mutant_that_matters_before_the_import_is_caught(tmp_path, name):
    check, point, words = MUTANTS[name]
    suite = type("Suite", (TestGood,), {"integration": name})
    (tmp_path / "fingerprint.json").write_text(json.dumps(suite._run("fingerprint", tmp_path)))
    said = suite._run("autotrack_first", tmp_path)[check]
    assert said.startswith(f"patch contract {point}: "), said
    assert words in said


@pytest.mark.parametrize("prelude", [contract_run.ABSENT, ""], ids=["absent", "not enabled"])
@pytest.mark.parametrize("name", mutants(["by_value"]))
def test_a_mutant_that_matters_in_pickles_is_caught(tmp_path, name, prelude):
    pytest.importorskip("cloudpickle")
    _, point, words = MUTANTS[name]
    suite = type("Suite", (TestGood,), {"integration": name})
    assert suite._run("by_value", tmp_path)["made"] == ""
    with pytest.raises(pytest.fail.Exception) as said:
        suite._load(tmp_path, prelude)
    assert str(said.value).startswith(f"patch contract {point}: ")
    assert (words if prelude else "imported ['autotrack") in str(said.value)


def test_each_check_has_a_mutant():
    assert {check for check, _, _ in MUTANTS.values()} == {*contract_run.FRAMEWORK_FIRST, *APART}


if __name__ == "__main__":
    run_checks()
