"""Stores in tests/data, each written by the version that its format is of, are read by this one."""

import math
from pathlib import Path

import pytest

import autotrack
from autotrack.backends import histories, index, run_files

DATA = Path(__file__).parent / "data"


@pytest.fixture(params=["read whole", "by both ends"])
def store(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(index, "_indexes", type(index._indexes)())
    if request.param == "by both ends":  # what long runs are read by
        monkeypatch.setattr(run_files, "SEAL_EVERY", 850)
        monkeypatch.setattr(histories, "KEEP_BYTES", 0)
    return DATA / "format-1"


def test_format_1(store: Path):
    runs = autotrack.runs(store=store)
    assert [(run.name, run.status) for run in runs] == [
        ("series", "interrupted"),
        ("resumed", "finished"),
        ("failed", "failed"),
        ("finished", "finished"),
    ]
    run = runs[-1]
    assert (run.experiment, run.user, run.host, run.child_count, run.duration) == ("old", "me", "here", 2, 0.002185)
    assert run.params == {"C": 10.0, "solver": "lbfgs", "class_weight": None, "layers": [1, 2]}
    assert (run.changed, run.tags, run.facts["data"]) == (["C"], {"team": "vision"}, {"rows": 150})
    assert math.isnan(run.metrics.pop("loss"))
    assert run.metrics == {"val_loss": 0.7, "train/loss": 0.2, "accuracy": 0.75}
    assert run.summaries["train/loss"] == (5, 0.2, 0.2, 1.0, 4)
    assert run.summaries["loss"][2:] == (0.93, 0.93, 1)
    assert [(point.step, point.epoch, str(point.value)) for point in run.history("loss")] == [
        (0, 0, "0.93"),
        (1, 0, "nan"),
    ]
    assert [point.step for point in run.history("val_loss")] == [5, 6]
    assert run.history("train/loss").epoch.tolist() == [1] * 5
    assert [(child.name, child.params, child.metrics) for child in run.children] == [
        ("candidate 1", {"C": 1}, {"score": 0.25}),
        ("candidate 2", {"C": 2}, {"score": 0.5}),
    ]
    assert run.children[1].history("score")[0].value == 0.5
    assert run.notes == [("warning", "something a person should know")]
    with run.open("deep/note.txt") as file:
        assert file.read() == b"hello\n"
    assert [problem for run in runs for problem in run.problems] == []
    assert (runs[1].tags, runs[1].metrics) == ({"late": "edit"}, {"loss": math.inf})
    assert runs[2].error is not None
    assert runs[2].error.message == "no such thing: \ud800"
    assert [run.name for run in autotrack.runs("metrics.accuracy > 0.7 and tags.team = 'vision'", store=store)] == [
        "finished"
    ]
