"""``BackendSuite`` catches each mutant of a good backend, and names the rule that it breaks."""

from pathlib import Path

import pytest

from autotrack.backends import base, registry
from autotrack.backends.file import FileBackend
from autotrack.backends.memory import MemoryBackend
from autotrack.testing.backend_case import Case
from autotrack.testing.backend_suite import BackendSuite
from tests.testing import record_mutants, registry_mutants, store_mutants  # noqa: F401  they register themselves
from tests.testing.file_stores import FileStoreSuite
from tests.testing.mutants import MUTANTS, Good


class OverFiles(FileStoreSuite):
    mutant: type = Good

    def backend(self, folder: Path):
        return self.mutant(FileBackend(folder))

    def damages(self):
        return {
            name: lambda backend, run_id, spoil=spoil: spoil(backend.inner, run_id)
            for name, spoil in super().damages().items()
        }

    def deliver_again(self, backend, run_id):
        super().deliver_again(backend.inner, run_id)


class OverMemory(BackendSuite):
    mutant: type = Good
    outlives_process = False

    def backend(self, folder: Path):
        return self.mutant(MemoryBackend())

    def deliver_again(self, backend, run_id):
        backend.again(run_id)


SUITES = {"file": OverFiles, "memory": OverMemory}


def checks(suite):
    return {name: getattr(suite, name) for name in dir(suite) if name.startswith("test_")}


def failures(suite, folder, rule=""):
    """By check of one rule, or of all: what it says."""
    said = {}
    for name, check in checks(suite).items():
        if rule in ("", check.rule):
            (folder / name).mkdir()
            case = Case(suite, folder / name)
            try:
                check(case)
            except pytest.fail.Exception as failure:
                said[name] = str(failure)
            except pytest.skip.Exception:
                pass
            finally:
                case.close()
    return said


@pytest.mark.parametrize("over", SUITES)
def test_a_good_backend_passes(tmp_path, over):
    suite = SUITES[over]()
    assert failures(suite, tmp_path) == {}


@pytest.mark.parametrize("name", MUTANTS)
def test_a_mutant_is_caught_and_its_rule_named(tmp_path, name):
    mutant, rule, words, over = MUTANTS[name]
    suite = SUITES[over]()
    suite.mutant = mutant
    said = failures(suite, tmp_path, rule)
    assert [text for text in said.values() if text.startswith(f"backend contract, {rule}: ") and words in text], said


def rules_of(module):
    """Their names, as the module's own words list them."""
    return [line.partition(":")[0][2:] for line in (module.__doc__ or "").splitlines() if line.startswith("* ")]


def test_each_rule_is_stated_checked_and_has_a_mutant():
    rules = {check.rule for check in checks(BackendSuite()).values()}
    stated = set(rules_of(base)) | {f"registry, {name}" for name in rules_of(registry)}
    assert rules == stated == {rule for _, rule, _, _ in MUTANTS.values()}
