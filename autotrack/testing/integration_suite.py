"""The patch contract as tests: subclass ``IntegrationSuite`` and run pytest.

    class TestContract(IntegrationSuite):
        integration = "sklearn"
        modules = ("sklearn.linear_model", "sklearn.pipeline")
        patched = ("sklearn.linear_model:LinearRegression.fit", "sklearn.pipeline:Pipeline.fit")
        source = '''
            from sklearn.linear_model import LinearRegression

            def train():
                return LinearRegression().fit([[0.0], [1.0]], [1.0, 3.0]).coef_.tolist()
        '''

A test that fails names the point of the contract that is broken ("patch contract 5: …"); the ten points
are in the documentation for authors of plugins. All checks run in processes of their own; the tests
of one suite take some seconds.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any, ClassVar

import pytest

from autotrack.testing import contract_run

__all__ = ["IntegrationSuite"]


class IntegrationSuite:
    """Tests that an integration keeps the patch contract.

    Attributes:
        integration: Its name.
        modules: Modules of the framework to import.
        patched: Patched attributes, as ``module:Class.method`` or ``module:function``. Where the integration
            patches what a descriptor holds, name that: ``module:Class.method.fn``.
        by_name: Those of ``patched`` that are functions which users import by name, before autotrack is enabled too.
        source: Python source that defines ``train()``: it imports what it needs, trains something small that
            calls every patched attribute, and returns what JSON can hold, the same each time. It may define
            ``instances()``, a list of objects whose patched methods must pickle and copy.
        by_value: Python source for a script: a class or two, and ``use()`` that trains one and returns what
            JSON can hold. It is pickled by value, as joblib sends what is defined in ``__main__`` to workers.
            Needs cloudpickle. Empty where the framework's classes are never pickled.
    """

    integration: ClassVar[str]
    modules: ClassVar[tuple[str, ...]]
    patched: ClassVar[tuple[str, ...]]
    by_name: ClassVar[tuple[str, ...]] = ()
    source: ClassVar[str]
    by_value: ClassVar[str] = ""

    # ---- the framework is imported, then autotrack is enabled ------------------------------------------------------

    def test_disable_puts_back_the_identical_objects(self, framework_first: dict[str, str]) -> None:
        """Contract 5, 7, 8: after any order of enable and disable; what was absent stays absent."""
        _kept(framework_first["disable"])

    def test_two_threads_enable_and_disable_once(self, framework_first: dict[str, str]) -> None:
        """Contract 7."""
        _kept(framework_first["threads"])

    def test_results_are_the_same_and_recorded(self, framework_first: dict[str, str]) -> None:
        """Contract 1, 8: a training gives the same with, without and after recording."""
        _kept(framework_first["results"])

    def test_a_patcher_above_keeps_its_place(self, framework_first: dict[str, str]) -> None:
        """Contract 5: ours stays below it, inert after disable(), awake and not doubled when enabled."""
        _kept(framework_first["patcher_above"])

    def test_a_patcher_below_is_put_back(self, framework_first: dict[str, str]) -> None:
        """Contract 1, 5: somebody's wrapper below ours is called as often as without us, and put back."""
        _kept(framework_first["patcher_below"])

    def test_a_wrapper_that_was_taken_away_is_put_back(self, framework_first: dict[str, str]) -> None:
        """Contract 5: noticed at the next run."""
        _kept(framework_first["removed"])

    def test_signatures_names_and_docs_stay(self, framework_first: dict[str, str]) -> None:
        """Contract 4."""
        _kept(framework_first["looks"])

    def test_classes_methods_and_instances_pickle_and_copy(self, framework_first: dict[str, str]) -> None:
        """Contract 4."""
        _kept(framework_first["pickling"])

    def test_exceptions_reach_the_user_as_they_are(self, framework_first: dict[str, str]) -> None:
        """Contract 1: the same object, one frame of ours per patched call at most, cause and context untouched."""
        _kept(framework_first["exceptions"])

    def test_a_raising_integration_changes_nothing(self, framework_first: dict[str, str]) -> None:
        """Contract 1, 2: originals run once; logged once, the run marked incomplete, the integration switched off."""
        _kept(framework_first["raising"])

    def test_arguments_and_results_are_the_very_objects(self, framework_first: dict[str, str]) -> None:
        """Contract 1, 4: nothing is copied or wrapped on the way, and instances get no attributes of ours."""
        _kept(framework_first["objects"])

    def test_nothing_is_called_unasked(self, framework_first: dict[str, str]) -> None:
        """Contract 3: no fit, predict, transform, score or forward but those that the training makes itself."""
        _kept(framework_first["unasked"])

    def test_nothing_is_kept_alive(self, framework_first: dict[str, str]) -> None:
        """Contract 9: data, models and results die when the user lets go of them."""
        _kept(framework_first["kept"])

    def test_functions_imported_by_name_stay_the_same(self, framework_first: dict[str, str]) -> None:
        """Contract 6: the same objects with swapped code, pickled as before, and put back."""
        _kept(framework_first["names"])

    def test_threads_own_their_trainings(self, framework_first: dict[str, str]) -> None:
        """Contract 10: two that train at once make the runs of both; within an explicit run all belongs to it."""
        _kept(framework_first["threads_own"])

    def test_nothing_global_moves(self, framework_first: dict[str, str]) -> None:
        """Contract 9."""
        _kept(framework_first["globals"])

    # ---- autotrack is enabled, then the framework is imported ------------------------------------------------------

    def test_enable_imports_nothing_heavy(self, autotrack_first: dict[str, str]) -> None:
        """Contract 8: neither a framework nor numpy or pandas."""
        _kept(autotrack_first["light"])

    def test_a_framework_imported_later_is_patched(self, autotrack_first: dict[str, str]) -> None:
        """Contract 8."""
        _kept(autotrack_first["late_import"])

    def test_disable_after_a_late_import_leaves_what_would_be_there(self, autotrack_first: dict[str, str]) -> None:
        """Contract 5, 9: attributes are made of the same layers as in a process without autotrack."""
        _kept(autotrack_first["late_disable"])

    # ---- classes of __main__, pickled by value ---------------------------------------------------------------------

    def test_pickles_by_value_work_where_autotrack_is_absent(self, pickled_by_value: Path) -> None:
        """Contract 4: they load and train in a process that cannot import autotrack."""
        self._load(pickled_by_value, contract_run.ABSENT)

    def test_pickles_by_value_work_where_autotrack_is_not_enabled(self, pickled_by_value: Path) -> None:
        """Contract 4: they load and train without importing it."""
        self._load(pickled_by_value, "")

    # ---- how they run ----------------------------------------------------------------------------------------------

    @pytest.fixture(scope="class")
    @classmethod
    def framework_first(cls, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
        """By check, the failure or ""."""
        return cls._run("framework_first", tmp_path_factory.mktemp("framework_first"))

    @pytest.fixture(scope="class")
    @classmethod
    def autotrack_first(cls, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
        """By check, the failure or ""."""
        folder = tmp_path_factory.mktemp("autotrack_first")
        (folder / "fingerprint.json").write_text(json.dumps(cls._run("fingerprint", folder)))
        return cls._run("autotrack_first", folder)

    @pytest.fixture(scope="class")
    @classmethod
    def pickled_by_value(cls, tmp_path_factory: pytest.TempPathFactory) -> Path:
        """The folder with the pickle, made in a process where the integration is enabled."""
        if not cls.by_value:
            pytest.skip("this suite has no by_value source")
        pytest.importorskip("cloudpickle")
        folder = tmp_path_factory.mktemp("by_value")
        _kept(cls._run("by_value", folder)["made"])
        return folder

    @classmethod
    def _run(cls, mode: str, folder: Path) -> dict[str, Any]:
        given = {key: getattr(cls, key) for key in ("integration", "modules", "patched", "by_name")}
        source = textwrap.dedent(cls.source) + f"\nBY_VALUE = {textwrap.dedent(cls.by_value)!r}\n"
        (folder / "spec.json").write_text(json.dumps({**given, "source": source}))
        out = folder / f"{mode}.json"
        cls._python(["-m", "autotrack.testing.contract_run", mode, "spec.json", str(out)], folder)
        result: dict[str, Any] = json.loads(out.read_text())
        return result

    @classmethod
    def _load(cls, folder: Path, prelude: str) -> None:
        cls._python(["-c", prelude + contract_run.LOAD], folder)

    @staticmethod
    def _python(arguments: list[str], folder: Path) -> None:
        settings = {name: value for name, value in os.environ.items() if not name.startswith("AUTOTRACK_")}
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=folder,
            env={**settings, "AUTOTRACK_STRICT": "1"},
            capture_output=True,
            text=True,
            timeout=900,
            check=False,
        )
        words = done.stderr or (folder / "stderr").read_text() if (folder / "stderr").exists() else done.stderr
        _kept("" if done.returncode == 0 else f"patch contract 4: a process of this suite failed\n{words[-3000:]}")


def _kept(failure: str) -> None:
    """Fail with the check's own words."""
    if failure:
        pytest.fail(failure, pytrace=False)
