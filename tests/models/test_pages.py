"""Pages that a format makes of a model beside its safe form: artifacts of the run; they cost the conversion nothing."""

import hashlib
from pathlib import Path

import pytest

import autotrack
from autotrack import helper, models
from tests.models.toy import Toy, ToyFormat


class Drawing(ToyFormat):
    """Turns what it saved into a file with pages beside it."""

    def __init__(self, pages: dict[str, bytes]) -> None:
        self.pages = pages

    def convert(self, data):
        return autotrack.Saved(data, ".safe", self.name, {}, pages=self.pages)


def converted(store: Path, run_id: str, pages: dict[str, bytes], child: str = ""):
    """The run after the helper's work on its model, done in this process; the bytes of its pages."""
    record = autotrack.get_run(run_id + (f".{child}" if child else ""))
    model = record.models["model"]
    job = {
        "folder": str(store / "runs" / run_id), "run": run_id, "child": child, "name": "model", "cls": model.cls,
        "path": model.path, "sha256": model.sha256, "to": "toy",
    }  # fmt: skip
    helper.convert(job, Drawing(pages))
    record = autotrack.get_run(record.id)
    assert record.models["model"].path.endswith(".safe")
    pages = {}
    for name in record.artifacts:
        with record.open(name) as file:
            pages[name] = file.read()
    return record, pages


@pytest.fixture
def saved(tracked: Path) -> str:
    """A run with a toy model; its id."""
    models.register_format(ToyFormat())
    with autotrack.start_run() as run:
        run.log_model(Toy(2.0))
    return run.id


def test_they_are_artifacts_of_the_run(tracked: Path, saved: str):
    record, pages = converted(tracked, saved, {"a.html": b"one", "deep/b.svg": b"two"})
    assert pages == {"a.html": b"one", "deep/b.svg": b"two"}
    known = record.artifacts["a.html"]
    assert (known.size, known.sha256) == (3, hashlib.sha256(b"one").hexdigest())


def test_a_child_run_has_its_own(tracked: Path):
    models.register_format(ToyFormat())
    with autotrack.start_run() as run, autotrack.start_run() as child:
        child.log_model(Toy(2.0))
    record, pages = converted(tracked, run.id, {"a.html": b"one"}, child.id.partition(".")[2])
    assert pages == {"a.html": b"one"}
    assert record.artifacts["a.html"].path.startswith("children/")
    assert autotrack.get_run(run.id).artifacts == {}


def test_a_page_that_leads_out_of_the_run_costs_nothing_else(tracked: Path, saved: str, tmp_path: Path, monkeypatch):
    monkeypatch.setenv("AUTOTRACK_STRICT", "0")
    _, pages = converted(tracked, saved, {"a.html": b"one", "../../b.html": b"two", "c.html": b"three"})
    assert pages == {"a.html": b"one"}
    assert not list(tmp_path.rglob("b.html"))


def test_a_folder_that_is_a_link_is_not_followed(tracked: Path, saved: str, tmp_path: Path, monkeypatch):
    monkeypatch.setenv("AUTOTRACK_STRICT", "0")
    (tmp_path / "elsewhere").mkdir()
    (tracked / "runs" / saved / "artifacts").symlink_to(tmp_path / "elsewhere")
    assert converted(tracked, saved, {"a.html": b"one"})[1] == {}
    assert not list((tmp_path / "elsewhere").iterdir())


def test_they_have_the_modes_of_a_shared_store(tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    models.register_format(ToyFormat())
    assert autotrack.init_store(tmp_path / "shared", shared=True)
    autotrack.enable(store=tmp_path / "shared")
    try:
        with autotrack.start_run() as run:
            run.log_model(Toy(2.0))
        converted(tmp_path / "shared", run.id, {"a.html": b"one"})
    finally:
        autotrack.disable()
    top = tmp_path / "shared" / "runs" / run.id / "artifacts"
    assert [path.stat().st_mode & 0o7777 for path in (top, top / "a.html")] == [0o2770, 0o660]
