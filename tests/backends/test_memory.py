"""The store in memory gives back what a file store would."""

import pytest

from autotrack.backends.base import new_run_id
from autotrack.backends.file import FileBackend
from autotrack.backends.memory import MemoryBackend
from autotrack.errors import ArtifactPathError, RunNotFound
from autotrack.records import Begin, Metrics, Params
from autotrack.run import Run


@pytest.fixture(params=["file", "memory"])
def backend(request, tmp_path):
    made = FileBackend(tmp_path / "store") if request.param == "file" else MemoryBackend()
    yield made
    made.close()


RUN = new_run_id(1.0)


def test_records_come_back_in_order(backend):
    writer = backend.open_run(RUN, Begin(name="r"))
    lines = [Metrics(writer.elapsed(), "", {"loss": float(step), "nan": "nan"}, step) for step in range(20)]
    writer.write(lines[:5])
    for line in lines[5:]:
        writer.write([line])
    writer.write([Params(t=writer.elapsed(), p={"a": [1, {"b": None}], "\ud800": "\udfff"})])
    log = backend.source().read(RUN)
    found = [entry.record for entry in log.entries]
    assert found[0] == Begin(name="r")
    assert found[1:-1] == lines
    assert found[-1].p == {"a": [1, {"b": None}], "\ud800": "\udfff"}
    assert (log.damage, log.unknown, log.alive, log.here) == ([], 0, True, True)
    assert len({(entry.writer, entry.line) for entry in log.entries}) == len(found)


def test_a_run_id_is_given_once(backend):
    backend.open_run(RUN, Begin(name="r"))
    with pytest.raises(FileExistsError):
        backend.open_run(RUN, Begin(name="s"))
    assert backend.source().run_ids() == [RUN]


def test_files(backend, tmp_path):
    writer = backend.open_run(RUN, Begin(name="r"))
    (tmp_path / "f").write_bytes(b"abc")
    from pathlib import PurePosixPath

    one = writer.put_file(PurePosixPath("artifacts/a.txt"), b"abc")
    two = writer.put_file(PurePosixPath("artifacts/b.txt"), tmp_path / "f")
    assert one.sha256 == two.sha256 == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert (one.path, one.size) == ("artifacts/a.txt", 3)
    with backend.source().open(RUN, "artifacts/b.txt") as file:
        assert file.read() == b"abc"
    with pytest.raises(FileNotFoundError):
        backend.source().open(RUN, "artifacts/c.txt")
    with pytest.raises(ArtifactPathError):
        backend.source().open(RUN, "../x")
    with pytest.raises(ArtifactPathError):
        writer.put_file(PurePosixPath("../x"), b"")


def test_runs_that_are_not_there(backend):
    assert backend.source().run_ids() == []
    for name in (new_run_id(2.0), "", "..", "../..", "x\0"):
        with pytest.raises(RunNotFound):
            backend.source().read(name)


def test_a_closed_run_takes_more(backend):
    writer = backend.open_run(RUN, Begin(name="r"))
    run = Run(writer, "r", "e")
    run.end()
    run.log_metrics({"loss": 1.0})
    log = backend.source().read(RUN)
    assert [type(entry.record).__name__ for entry in log.entries] == ["Begin", "End", "Metrics"]
    assert log.alive is not True or isinstance(backend, FileBackend)
