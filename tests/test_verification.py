"""verify: damage in runs, registered models and experiments is named, and nothing else is."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import autotrack
from autotrack import verification
from tests.models.toy import log_toy
from tests.test_cli import call, process, strict_json
from tests.test_upkeep import train_in


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train_in(tmp_path_factory.mktemp("verification"))


@pytest.fixture
def store(trained: Path, tmp_path: Path) -> Path:
    """A copy to spoil."""
    return Path(shutil.copytree(trained, tmp_path / ".autotrack"))


def damage(store: Path) -> list[str]:
    return [what for checked in verification.verify(store=store) for what in checked.damage]


def test_verify_of_a_whole_store(store: Path):
    done = process("verify", cwd=store.parent)
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr.startswith("2 runs, ")
    assert "all are as they were written" in done.stderr
    found = strict_json(call("verify", "--json", store=store).stdout)
    assert (found["runs"], found["damage"]) == (2, {})
    runs = autotrack.runs(store=store)
    files = [file for run in runs for file in (*run.artifacts.values(), *run.models.values())]
    assert (found["files"], found["bytes"]) == (len(files), sum(file.size for file in files))


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def replace(path: Path, old: bytes, new: bytes) -> None:
    assert old in path.read_bytes()
    path.write_bytes(path.read_bytes().replace(old, new, 1))


SPOILED: dict[str, tuple[Callable[[Path, Path], None], str]] = {
    "a bit of a model": (lambda model, journal: flip(model), "sha256 differs"),
    "a model cut short": (lambda model, journal: os.truncate(model, 10), "has 10 bytes, and had"),
    "a model gone": (lambda model, journal: model.unlink(), "cannot be read: No such file"),
    "a digit of the records": (lambda model, journal: replace(journal, b'"tol":0.0001', b'"tol":0.0002'), "their seal"),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", SPOILED)
def test_verify_names_what_is_damaged(store: Path, name: str):
    run, other = autotrack.runs(store=store)
    folder = store / "runs" / run.id
    model = folder / run.models["model"].path
    journal = max((folder / "journal").iterdir(), key=lambda path: path.stat().st_size)
    spoil, words = SPOILED[name]
    spoil(model, journal)
    assert any(words in what for what in damage(store)), damage(store)
    done = call("verify", store=store)
    assert done.exit_code == 1
    assert words in done.stdout
    assert "1 are damaged" in done.stderr
    assert strict_json(call("verify", "--json", store=store).stdout)["damage"].keys() == {run.id}
    assert call("verify", other.id, store=store).exit_code == 0
    assert call("verify", run.id, store=store).exit_code == 1


def test_a_run_that_goes_on_is_not_damaged(tracked: Path):
    with autotrack.start_run("live") as run:
        run.log_metrics({"loss": 1.0})
        assert damage(tracked) == []


@pytest.fixture
def registered(tracked: Path) -> Path:
    """A registered model with two versions and an alias, and an experiment of which something was said."""
    for slope in (1.0, 2.0):
        autotrack.register_model(log_toy(slope), "slopes", alias="champion")
    autotrack.get_experiment("test").describe("lines")
    return tracked


def test_registered_models_and_experiments_are_looked_at(registered: Path):
    checked = {one.ref: one for one in verification.verify(store=registered) if one.kind != "run"}
    assert [(one.kind, one.name, one.damage) for one in checked.values()] == [
        ("model", "slopes", []), ("experiment", "test", []),
    ]  # fmt: skip
    versions = autotrack.get_registered_model("slopes").versions.values()
    files = [file for version in versions for file in version.version.files]
    assert (checked["models:/slopes"].files, checked["models:/slopes"].size) == (len(files), sum(f.size for f in files))
    done = process("verify", cwd=registered.parent)
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr.startswith("2 runs, 1 models, 1 experiments, ")
    assert [one.kind for one in verification.verify(["@last"], store=registered)] == ["run"]


def cut(path: Path) -> None:
    """Shorten a file that other names may have as well."""
    data = path.read_bytes()
    path.unlink()
    path.write_bytes(data[:-2])


BROKEN: dict[str, tuple[str, Callable[[Path], None], str, str]] = {
    "a file of a version": ("registry/slopes/versions/1/model.toy", cut, "models:/slopes", "version 1: model.toy has "),
    "a file that is gone": ("registry/slopes/versions/2/model.toy", Path.unlink, "models:/slopes", "model.toy is gone"),
    "what a version is": ("registry/slopes/versions/1/version.json", cut, "models:/slopes", "version 1 cannot be read"),
    "who moved what": ("registry/slopes/journal/*.jsonl", cut, "models:/slopes", "torn last line"),
    "what was said": ("experiments/test/journal/*.jsonl", cut, "test", "torn last line"),
}


@pytest.mark.parametrize("what", BROKEN)
def test_damage_outside_of_runs_is_named(registered: Path, what: str):
    pattern, spoil, ref, words = BROKEN[what]
    spoil(sorted(registered.glob(pattern))[0])
    done = call("verify", "--json", store=registered)
    assert done.exit_code == 1
    found = strict_json(done.stdout)["damage"]
    assert list(found) == [ref]
    assert any(words in line for line in found[ref]), found
    shown = call("verify", store=registered)
    assert words in shown.stdout
    assert "1 are damaged" in shown.stderr
