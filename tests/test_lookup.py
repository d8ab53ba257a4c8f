"""Reading runs and models back by reference."""

import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import autotrack
from autotrack.errors import AmbiguousReference, ModelError, RunNotFound

Script = Callable[..., "subprocess.CompletedProcess[str]"]


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


def test_the_store_in_use_is_empty_until_the_first_run(script: Script, tmp_path: Path):
    done = script("""
        import autotrack
        autotrack.enable(store="mine")
        print(len(autotrack.runs(store="mine")), autotrack.experiments(store="mine"))
        print(autotrack.registered_models(store="mine"))
        try:
            autotrack.runs(store="yours")
        except autotrack.StoreError as error:
            print(error)
    """)
    assert done.stdout.splitlines() == ["0 []", "[]", f"there is no store at {tmp_path / 'yours'}"]
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
    with pytest.raises(ModelError, match="no model 'third'"):
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
