"""The handle of a run: what is logged is read back, one odd value costs no other, and an ended run keeps its status."""

import asyncio
import json
import math
import threading
import time
from pathlib import PurePosixPath

import numpy
import pytest

import autotrack
from autotrack import values
from autotrack.backends.file_source import FileSource
from autotrack.backends.housekeeping import housekeeper
from autotrack.backends.memory import MemoryBackend
from autotrack.reader import read_run
from autotrack.recording import flush
from autotrack.records import Begin
from autotrack.run import Run


class Store:
    """A run in memory, and its records."""

    def __init__(self):
        self.backend = MemoryBackend()
        self.run = Run(self.backend.open_run("20261122T193015123-9f8e7d6c5b", Begin(name="r")), "r", "e")

    def read(self):
        return read_run(self.backend, self.run.id)

    def records(self, kind):
        entries = self.backend.read(self.run.id).entries
        return [entry.record for entry in entries if type(entry.record).__name__ == kind]


@pytest.fixture
def store():
    return Store()


def steps(record, key):
    return [(point.step, point.value) for point in record.history(key)]


# ---- metrics --------------------------------------------------------------------------------------------------------


def test_without_a_step_each_metric_counts_for_itself(store):
    run = store.run
    run.log_metrics({"a": 1.0})
    run.log_metrics({"a": 2.0, "b": 10.0})
    run.log_metrics({"a": 3.0}, step=7)
    run.log_metrics({"a": 4.0, "b": 20.0})
    found = store.read()
    assert steps(found, "a") == [(0, 1.0), (1, 2.0), (7, 3.0), (8, 4.0)]
    assert steps(found, "b") == [(0, 10.0), (1, 20.0)]


def test_steps_that_repeat_or_go_backwards_are_all_kept(store):
    for step, value in [(5, 1.0), (5, 1.0), (3, 2.0), (-1, 3.0), (5, 4.0)]:
        store.run.log_metrics({"loss": value}, step=step, epoch=step * 2)
    found = store.read()
    assert steps(found, "loss") == [(5, 1.0), (5, 1.0), (3, 2.0), (-1, 3.0), (5, 4.0)]
    assert [point.epoch for point in found.history("loss")] == [10, 10, 6, -2, 10]
    assert found.metrics["loss"] == 4.0


@pytest.mark.parametrize(
    "value",
    [2, True, numpy.float32(0.5), numpy.int8(3), numpy.array([0.25]), numpy.array(0.25), numpy.bool_(True), 10**300],
    ids=["int", "bool", "float32", "int8", "array", "array-0d", "numpy-bool", "huge"],
)
def test_numbers_of_all_kinds(store, value):
    store.run.log_metrics({"x": value})
    assert store.read().metrics == {"x": float(value.item() if hasattr(value, "item") else value)}


def test_torch_scalars(store):
    torch = pytest.importorskip("torch")
    weight = torch.tensor(0.5, requires_grad=True)
    store.run.log_metrics({"loss": weight * 2, "half": torch.tensor([0.5], dtype=torch.bfloat16)}, step=torch.tensor(3))
    assert store.read().metrics == {"loss": 1.0, "half": 0.5}
    assert steps(store.read(), "loss") == [(3, 1.0)]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, -0.0, 5e-324, 1.7976931348623157e308])
def test_any_double_is_kept_exactly(store, value):
    store.run.log_metrics({"x": value})
    store.run.log_points("curve", [value, 1.0])
    for key in ("x", "curve"):
        back = store.read().history(key)[0].value
        assert (math.isnan(back) and math.isnan(value)) or (
            back == value and math.copysign(1, back) == math.copysign(1, value)
        )


def test_a_curve_of_odd_name_and_first_step(store):
    store.run.log_points(3, [0.5, 1.0], first_step=numpy.int64(10))
    store.run.log_points("from nowhere", [2.0], first_step="x")
    store.run.log_points("later", [3.0])
    store.run.end()
    run = store.read()
    assert run.status == "finished"
    assert steps(run, "3") == [(10, 0.5), (11, 1.0)]
    assert steps(run, "from nowhere") == [(0, 2.0)]
    assert run.metrics["later"] == 3.0


def test_a_step_that_cannot_be_written_does_not_end_housekeeping(store, monkeypatch):
    monkeypatch.delenv("AUTOTRACK_STRICT")
    store.run.gather("loss", 1.0, 0)
    store.run.gather("loss", numpy.float32(2.0), 1)  # an integration's mistake: it gathers floats
    housekeeper._tasks[id(store.run._steps)]()
    store.run.end()
    assert store.read().metrics["loss"] in (1.0, 2.0)


class Failing:
    """An object whose every conversion fails, each in its own way."""

    def __float__(self):
        raise ZeroDivisionError("no float")

    def __index__(self):
        raise LookupError("no index")

    def __str__(self):
        raise AttributeError("no text")

    __repr__ = __str__


BAD_NUMBERS = ["text", b"1", None, [1], {}, 1j, 10**400, numpy.array([1.0, 2.0]), numpy.array([]), Failing(), object]


@pytest.mark.parametrize("bad", BAD_NUMBERS, ids=range(len(BAD_NUMBERS)))
def test_one_bad_metric_costs_no_other(store, caplog, bad):
    for _ in range(3):
        store.run.log_metrics({"before": 1.0, "bad": bad, "after": 2.0})
    found = store.read()
    assert found.metrics == {"before": 1.0, "after": 2.0}
    assert len(found.history("after")) == 3
    (note,) = found.notes
    assert note[0] == "warning"
    assert "'bad' was not recorded" in note[1]
    assert type(bad).__name__ in note[1]
    assert len(caplog.records) == 1


BAD_STEPS = ["text", 0.5, math.nan, math.inf, None, [1], 2**63, 10**5000, -(2**70), Failing()]


@pytest.mark.parametrize("bad", BAD_STEPS, ids=range(len(BAD_STEPS)))
def test_an_odd_step_costs_no_value(store, bad):
    store.run.log_metrics({"loss": 1.0}, step=4)
    store.run.log_metrics({"loss": 2.0, "other": 3.0}, step=bad, epoch=bad)
    found = store.read()
    assert steps(found, "loss") == [(4, 1.0), (5, 2.0)]
    assert found.metrics["other"] == 3.0
    assert len(found.notes) == (0 if bad is None else 2)


def test_names_that_are_the_same_as_text_lose_no_point(store):
    store.run.log_metrics({1: 0.5, "1": 0.75, "a": 1.0})
    assert steps(store.read(), "1") == [(0, 0.5), (1, 0.75)]
    assert steps(store.read(), "a") == [(0, 1.0)]


def test_after_the_last_step_that_there_can_be_none_is_made_up(store):
    store.run.log_metrics({"a": 1.0, "b": 1.0}, step=2**63 - 1)
    store.run.log_metrics({"a": 2.0, "b": 2.0})
    store.run.log_metrics({"a": 3.0})
    assert [(line.s, line.m) for line in store.records("Metrics")] == [
        (2**63 - 1, {"a": 1.0, "b": 1.0}),
        (2**63 - 1, {"a": 2.0, "b": 2.0}),
        (2**63 - 1, {"a": 3.0}),
    ]


@pytest.mark.parametrize(
    "step",
    [3.0, numpy.int64(3), numpy.float32(3), True, numpy.array(3), 2**63 - 1],
    ids=lambda step: type(step).__name__,  # numpy 1.26 writes two of them alike
)
def test_whole_steps_of_other_types(store, step):
    store.run.log_metrics({"loss": 1.0}, step=step)
    assert steps(store.read(), "loss") == [(int(step), 1.0)]


def test_odd_names_of_metrics(store):
    store.run.log_metrics({5: 1.0, ("a", 1): 2.0, Failing(): 3.0, "\ud800": 4.0, "": 5.0, "$x\n": 6.0})
    assert store.read().metrics == {"5": 1.0, "('a', 1)": 2.0, "\ud800": 4.0, "": 5.0, "$x\n": 6.0}
    assert len(store.read().notes) == 1


@pytest.mark.parametrize("call", ["log_metrics", "log_params", "set_tags"])
@pytest.mark.parametrize("given", [5, [1], "loss", None])
def test_what_is_no_mapping_raises(store, call, given):
    with pytest.raises(TypeError, match=call):
        getattr(store.run, call)(given)


def test_threads_share_a_run(store):
    def work(name):
        for _ in range(200):
            store.run.log_metrics({name: 1.0, "shared": 1.0})

    threads = [threading.Thread(target=work, args=(f"m{number}",)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = store.read()
    assert sorted(point.step for point in found.history("shared")) == list(range(800))
    assert all([point.step for point in found.history(f"m{number}")] == list(range(200)) for number in range(4))


# ---- params and tags ------------------------------------------------------------------------------------------------


def test_params_keep_their_types(store):
    given = {
        "a": 1,
        "b": 1.0,
        "c": True,
        "d": None,
        "e": "1",
        "f": [1, "2", None],
        "g": {"h": {"i": 0.5}},
        "j": math.inf,
    }
    store.run.log_params(given)
    found = store.read().params
    assert found == given
    assert [type(value) for value in found.values()] == [type(value) for value in given.values()]


def test_one_odd_param_costs_no_other(store):
    store.run.log_params({"before": 1, "bad": Failing(), "huge": 10**5000, "\ud800": "\udfff", "after": 2})
    found = store.read().params
    assert (found["before"], found["after"], found["\ud800"]) == (1, 2, "\udfff")
    assert found["bad"].endswith("Failing>")
    assert found["huge"].startswith("0x")


@pytest.mark.parametrize(
    "key", ["prompt", "../../x", "/abs", "\u4e2d" * 100, "\ud800", "a\0b", "", "x" * 1000, "."], ids=ascii
)
def test_a_long_param_is_cut_and_kept_whole_in_a_file(tracked, key):
    text = "".join(chr(33 + number % 90) for number in range(10_000)) + "\u00e9\ud800"
    with autotrack.start_run() as run:
        run.log_params({key: text, "other": 1})
    found = autotrack.get_run(run.id)
    assert found.params == {key: text[: values.MAX_TEXT // 4] + "…", "other": 1}
    source = FileSource(tracked)
    (record,) = [entry.record for entry in source.read(run.id).entries if type(entry.record).__name__ == "Params"]
    assert record.p[key]["chars"] == len(text)
    with source.open(run.id, record.p[key]["file"]) as file:
        assert file.read() == text.encode("utf-8", "backslashreplace")
    assert PurePosixPath(record.p[key]["file"]).parts[0] == "params"


def test_tags(store):
    store.run.set_tags({"a": "1", "b": 2, "c": None, "bad": Failing(), "d": "x"})
    store.run.set_tags({"d": None})
    assert store.read().tags == {"a": "1", "b": "2"}
    assert len(store.read().notes) == 1


def test_what_is_captured_has_the_step_that_it_is_given(store):
    store.run.capture(metrics={"loss": 0.5}, step=7)
    store.run.capture(curves={"error": [3.0, 2.0]}, step=4)
    store.run.capture(metrics={"loss": 0.25})
    run = store.read()
    assert [point.step for point in run.history("loss")] == [7, 8]
    assert [(point.step, point.value) for point in run.history("error")] == [(4, 3.0), (5, 2.0)]


def test_what_a_person_logged_wins_over_what_is_captured(store):
    store.run.log_params({"C": "mine"})
    store.run.log_metrics({"accuracy": 0.5})
    store.run.capture(params={"C": 1.0, "tol": 1e-4}, changed=["C", "tol"], metrics={"accuracy": 0.9, "time": 1.0})
    found = store.read()
    assert found.params == {"C": "mine", "tol": 1e-4}
    assert found.changed == ["tol"]
    assert found.metrics == {"accuracy": 0.5, "time": 1.0}


# ---- the end, and after it ------------------------------------------------------------------------------------------


def test_the_end_carries_a_summary(store):
    run = store.run
    run.log_params({"C": 1.0})
    run.set_tags({"a": "b"})
    for step, value in enumerate([3.0, math.nan, 1.0, 2.0]):
        run.log_metrics({"loss": value}, step=step * 10)
    run.log_metrics({"all": math.nan})
    run.end()
    run.end("failed")
    (end,) = store.records("End")
    assert (end.status, end.params, end.tags, end.dropped) == ("finished", {"C": 1.0}, {"a": "b"}, 0)
    assert end.metrics == {"loss": [4, 2.0, 1.0, 3.0, 30], "all": [1, "nan", "nan", "nan", 0]}
    assert 0 <= end.duration < 5


class Unprintable(Exception):
    def __str__(self):
        raise RuntimeError("not even this")


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (ValueError("bad: value"), "failed"), (KeyboardInterrupt(), "interrupted"), (SystemExit(0), "finished"),
        (SystemExit(2), "failed"), (Unprintable(), "failed"), (MemoryError(), "failed"), (None, "finished"),
        (GeneratorExit(), "interrupted"), (asyncio.CancelledError(), "interrupted"), (TimeoutError(), "failed"),
    ],
    ids=lambda value: type(value).__name__ + (str(value.code) if isinstance(value, SystemExit) else ""),
)  # fmt: skip
def test_the_status_says_how_it_ended(store, error, status):
    if error is None:
        with store.run:
            pass
    else:
        with pytest.raises(type(error)), store.run:
            raise error
    found = store.read()
    assert found.status == status
    if status == "finished":
        assert found.error is None
    else:
        assert found.error.type.endswith(type(error).__name__)
        assert "in test_the_status_says_how_it_ended" in found.error.traceback
    if isinstance(error, ValueError):
        assert found.error.message == "bad: value"


def test_what_comes_after_the_end_keeps_the_status_and_gets_a_fresh_summary(tracked):
    run = autotrack.start_run()
    run.log_metrics({"loss": 1.0})
    run.end(error=ValueError("bad"))
    run.log_metrics({"loss": 2.0, "score": 0.5})
    run.log_params({"late": 1})
    run.set_tags({"late": "yes"})
    flush()
    found = autotrack.get_run(run.id)
    assert (found.status, found.error.message) == ("failed", "bad")
    assert (found.metrics, found.params, found.tags) == ({"loss": 2.0, "score": 0.5}, {"late": 1}, {"late": "yes"})
    (journal,) = (tracked / "runs" / run.id / "journal").iterdir()
    summary, seal = [json.loads(line) for line in journal.read_text().splitlines()[-2:]]
    assert (summary["k"], seal["k"]) == ("summary", "seal")
    assert summary["metrics"] == {"loss": [2, 2.0, 1.0, 2.0, 1], "score": [1, 0.5, 0.5, 0.5, 0]}
    assert (summary["params"], summary["tags"]) == ({"late": 1}, {"late": "yes"})
    assert found.problems == []


def test_numbers_as_names(tracked):
    with autotrack.start_run(name=3, experiment=5) as run, autotrack.start_run(name=4):
        pass
    found = autotrack.get_run(run.id)
    assert (found.name, found.experiment, found.children[0].name, found.problems) == ("3", "5", "4", [])


# ---- children -------------------------------------------------------------------------------------------------------


def test_children_are_records_of_their_parents_journal(tracked):
    with autotrack.start_run(name="parent") as run:
        for number in range(50):
            child = run.child(f"candidate {number}")
            child.log_params({"C": number})
            child.log_metrics({"score": number / 50})
            child.child("fold").log_metrics({"score": -1.0})
            child.end(error=ValueError("x") if number == 7 else None)
    assert [path.name for path in (tracked / "runs").iterdir()] == [run.id]
    folders = {path.name for path in (tracked / "runs" / run.id).iterdir()}
    assert folders - {"artifacts"} == {"journal"}  # artifacts: the changes of the work tree that these tests run in
    found = autotrack.get_run(run.id)
    assert [child.name for child in found.children] == [f"candidate {number}" for number in range(50)]
    assert [child.params["C"] for child in found.children] == list(range(50))
    assert [child.status for child in found.children] == [
        "failed" if number == 7 else "finished" for number in range(50)
    ]
    assert found.children[3].children[0].metrics == {"score": -1.0}
    assert found.children[3].id == f"{run.id}.4"
    assert found.children[3].parent == run.id
    assert autotrack.get_run(f"{run.id}.4.1").name == "fold"
    assert found.metrics == {}
    assert len(autotrack.runs()) == 1


def test_a_child_starts_when_it_starts(store):
    time.sleep(0.05)
    before = time.time()
    store.run.child("c")
    (child,) = store.read().children
    assert child.start > before - 0.03


def test_a_child_that_takes_more_after_its_end_does_not_close_its_parent(tracked):
    run = autotrack.start_run()
    child = run.child("c")
    child.end()
    child.log_metrics({"late": 1.0})
    flush()
    found = autotrack.get_run(run.id)
    assert (found.status, found.children[0].status) == ("running", "finished")
    assert found.children[0].metrics == {"late": 1.0}
    run.end()
    child.log_metrics({"late": 2.0})
    flush()
    assert autotrack.get_run(run.id).children[0].metrics == {"late": 2.0}
    assert autotrack.get_run(run.id).status == "finished"


def test_files_of_children_lie_below_their_parent(tracked, tmp_path):
    (tmp_path / "f.txt").write_text("x")
    with autotrack.start_run() as run:
        run.log_artifact(tmp_path / "f.txt")
        run.child("c").log_artifact(tmp_path / "f.txt", "deep/artifacts/f.txt")
    found = autotrack.get_run(run.id)
    assert found.artifacts["f.txt"].path == "artifacts/f.txt"
    child = found.children[0]
    assert child.artifacts["deep/artifacts/f.txt"].path == "children/1/artifacts/deep/artifacts/f.txt"
    with child.open("deep/artifacts/f.txt") as file:
        assert file.read() == b"x"
