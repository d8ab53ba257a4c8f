"""The cache of histories says what the journal says, whatever happens to either."""

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from autotrack.backends import histories, marks
from autotrack.backends.base import RunSource
from autotrack.backends.file_source import FileSource
from autotrack.records import Begin, Metrics, Points
from tests.backends.stores import sql
from tests.backends.test_index import KEYS, RECORDS, Files, store_in


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder in which every history is kept."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(histories, "KEEP_BYTES", 0)
    return tmp_path / "cache"


def whole(source: FileSource, run_id: str, key: str) -> list[str]:
    """By reading everything."""
    return [repr(point) for point in RunSource.history(source, run_id, key)]


CHANGES = st.lists(
    st.tuples(
        st.sampled_from(["append", "append", "append", "writer", "truncate", "replace", "half", "late"]),
        st.integers(0, 3),
        st.lists(RECORDS, max_size=5),
        st.floats(0, 1),
    ),
    min_size=1,
    max_size=8,
)


@settings(
    deadline=None, max_examples=40, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)
@given(changes=CHANGES, key=KEYS, chunk=st.sampled_from([60, 1 << 20]), block=st.sampled_from([2, 1000]))
def test_a_kept_history_is_that_of_the_journal(kept: Path, tmp_path: Path, changes, key, chunk, block):
    folder = tmp_path / os.urandom(4).hex()
    files = Files(store_in(folder))
    run = files.run()
    files.writer(run, [Begin(name="a")])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(marks, "_CHUNK", chunk)
        patch.setattr(histories, "_BLOCK", block)
        patch.setattr(histories, "_BLOCKS", 3)
        for what, which, records, share in changes:
            journals = sorted((run / "journal").iterdir())
            path = journals[which % len(journals)]
            data = path.read_bytes()
            if what == "writer":
                path = files.writer(run, records)
            elif what == "truncate":
                os.truncate(path, int(len(data) * share))
            elif what == "replace":
                (run / "new").write_bytes(files.lines(run, records))
                (run / "new").rename(path)
            elif what == "late":
                path.write_bytes(data + files.line(Metrics(-7000, "", {key: 0.75}, 3)))
            else:
                added = b"".join(map(files.line, records))
                path.write_bytes(data + (added[:-5] if what == "half" else added))
            os.utime(path, ns=(0, 10**18 + files.tick()))  # time goes by
            source = FileSource(folder)
            assert [repr(point) for point in source.history(run.name, key)] == whole(source, run.name, key)
            child = f"{run.name}.1"
            assert [repr(point) for point in source.history(child, "loss")] == whole(source, child, "loss")


def live_run(folder: Path, points: int = 3000) -> tuple[Files, Path, Path]:
    files = Files(store_in(folder))
    run = files.run()
    path = files.writer(run, [Begin(name="a"), *(Metrics(0, "", {"loss": step / 8}, step) for step in range(points))])
    return files, run, path


def test_of_a_live_run_only_what_is_new_is_read(kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    files, run, path = live_run(tmp_path / "store")
    source = FileSource(tmp_path / "store")
    assert len(source.history(run.name, "loss")) == 3000
    asked: list[int] = []
    real = os.pread
    monkeypatch.setattr(os, "pread", lambda fd, size, offset: asked.append(size) or real(fd, size, offset))
    assert source.history(run.name, "loss")[-1].value == 2999 / 8
    assert sum(asked) == 0
    with path.open("ab") as file:
        line = files.line(Points(key="loss", s=[3000, 3001], v=[0.5, 0.25]))
        file.write(line)
    assert [point.value for point in source.history(run.name, "loss")][2999:] == [2999 / 8, 0.5, 0.25]
    assert sum(asked) == len(line) + 32


def test_a_short_history_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    _, run, _ = live_run(tmp_path / "store", 100)
    assert len(FileSource(tmp_path / "store").history(run.name, "loss")) == 100
    assert not (tmp_path / "cache").exists()


SPOIL = {
    "garbage": lambda file: file.write_bytes(b"garbage" * 1000),
    "cut": lambda file: os.truncate(file, file.stat().st_size // 2),
    "empty": lambda file: file.write_bytes(b""),
    "another version": lambda file: sql(file, "PRAGMA user_version = 77"),
    "no blocks": lambda file: sql(file, "DELETE FROM blocks"),
    "no table": lambda file: sql(file, "DROP TABLE blocks"),
    "odd rows": lambda file: sql(file, "UPDATE histories SET files = 'x'"),
    "odd blocks": lambda file: sql(file, "UPDATE blocks SET points = 1000000000000"),
    "no blob": lambda file: sql(file, "UPDATE blocks SET columns = NULL"),
    "read-only": lambda file: file.chmod(0o400),
    "too large": lambda file: os.truncate(file, 10_000_000),
    "missing": lambda file: file.unlink(),
}


@pytest.mark.parametrize("how", SPOIL)
def test_a_spoiled_cache_costs_no_point(kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str):
    monkeypatch.setattr(histories, "MOST_BYTES", 9_000_000)
    files, run, path = live_run(tmp_path / "store")
    source = FileSource(tmp_path / "store")
    assert len(source.history(run.name, "loss")) == 3000
    (file,) = kept.rglob("*.sqlite")
    SPOIL[how](file)
    for count in (3001, 3002):
        with path.open("ab") as journal:
            journal.write(files.line(Metrics(0, "", {"loss": 0.5}, count)))
        assert len(source.history(run.name, "loss")) == count


def test_a_cache_folder_that_cannot_be_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    monkeypatch.setattr(histories, "KEEP_BYTES", 0)
    _, run, _ = live_run(tmp_path / "store")
    assert len(FileSource(tmp_path / "store").history(run.name, "loss")) == 3000
