"""Files that are stored with a run: whole or not at all, whatever they are called."""

import hashlib
import os
import stat
from pathlib import Path, PurePosixPath

import pytest

import autotrack
from autotrack import values
from autotrack.backends import file_run
from autotrack.backends.base import safe_path
from autotrack.errors import ArtifactPathError, RunNotFound
from tests.backends.stores import read, tree


def test_a_file_is_stored_whole_by_rename(backend, run, tmp_path, monkeypatch):
    source = tmp_path / "big.bin"
    source.write_bytes(os.urandom(3_000_000))
    seen = []
    rename = Path.rename

    def watch(self, target):
        seen.append((self.parent == Path(target).parent, self.stat().st_size, stat.S_IMODE(self.stat().st_mode)))
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", watch)
    run.log_artifact(source, "models/big.bin")
    assert seen == [(True, 3_000_000, 0o600)]
    artifact = read(backend, run).artifacts["models/big.bin"]
    assert artifact.sha256 == hashlib.sha256(source.read_bytes()).hexdigest()
    assert artifact.size == 3_000_000
    with read(backend, run).open("models/big.bin") as file:
        assert file.read() == source.read_bytes()


def test_a_copy_that_is_cut_short_leaves_nothing(backend, run, tmp_path, monkeypatch):
    def cut_short(source, target, mode):
        target.write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(file_run, "copy_file", cut_short)
    with pytest.raises(KeyboardInterrupt):
        run._store(PurePosixPath("a.txt"), b"whole")
    assert list((backend.root / "runs" / run.id).rglob("*a.txt")) == []
    assert list(backend.root.rglob("*.tmp")) == []


def test_a_source_that_is_not_there_raises_for_the_user(run, tmp_path):
    with pytest.raises(FileNotFoundError, match="no file"):
        run.log_artifact(tmp_path / "absent")


LONG = "x" * 201
BAD_PATHS = [
    "", "/", "/etc/passwd", "..", "../x", "a/../../x", "a/..", ".", "./a", "a//b", "a/", "a\0b", "\0", "a\nb", "a\x7f",
    "a\\b", "..\\x", "C:\\x", "C:/x", "c:", "\ud800", "a/\udfff", LONG, f"a/{LONG}", "\u00e9" * 101, "a/" * 501 + "a",
]  # fmt: skip
ODD_PATHS = [
    "...", "a..b", ". .", " ", "~", "~root/x", "$HOME", "-rf", "a;b", "%2e%2e/x", "\uff0e\uff0e/x", "\u2025/x",
    "..\u200b/x", "\u202e/x", "\u2215etc", "\uff0fetc", "CON", "a.tmp", "alive", "x" * 200, "\u00e9" * 100,
    "journal/x.jsonl",
]  # fmt: skip


def everything(root, leave_out):
    return {path: path.lstat().st_mtime_ns for path in root.rglob("*") if leave_out not in (path, *path.parents)}


@pytest.mark.parametrize("path", BAD_PATHS, ids=ascii)
def test_hostile_paths_are_refused(backend, run, tmp_path, path):
    (tmp_path / "f").write_text("x")
    before = everything(tmp_path, backend.root / "runs" / run.id)
    with pytest.raises(ArtifactPathError):
        safe_path(path)
    with pytest.raises(ArtifactPathError):
        run.log_artifact(tmp_path / "f", path)
    with pytest.raises(ArtifactPathError):
        run.child("c").log_artifact(tmp_path / "f", path)
    with pytest.raises(ArtifactPathError):
        run.log_model(object(), path)
    assert everything(tmp_path, backend.root / "runs" / run.id) == before
    with pytest.raises((ArtifactPathError, RunNotFound)):
        backend.source().open(run.id, path)


@pytest.mark.parametrize("path", ODD_PATHS, ids=ascii)
def test_odd_paths_stay_inside(backend, run, tmp_path, path):
    (tmp_path / "f").write_text("x")
    before = everything(tmp_path, backend.root / "runs" / run.id)
    run.log_artifact(tmp_path / "f", path)
    stored = read(backend, run)
    assert list(stored.artifacts) == [path]
    with stored.open(path) as file:
        assert file.read() == b"x"
    target = (backend.root / "runs" / run.id / "artifacts" / path).resolve()
    assert target.is_relative_to((backend.root / "runs" / run.id / "artifacts").resolve())
    assert everything(tmp_path, backend.root / "runs" / run.id) == before


@pytest.mark.parametrize("name", ["a/b", ".hidden", ".", "..", "", "/x", "a\0", LONG])
def test_a_model_name_is_the_name_of_one_folder(run, name):
    with pytest.raises(ArtifactPathError):
        run.log_model(object(), name)


def test_links_inside_a_run_lead_nowhere(backend, run, tmp_path, caplog):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text("s")
    artifacts = backend.root / "runs" / run.id / "artifacts"
    artifacts.mkdir()
    (artifacts / "link").symlink_to(outside)
    (artifacts / "dangling").symlink_to(outside / "new")
    (artifacts / "file").symlink_to(outside / "secret")
    for name in ("link/x", "link/deep/x"):
        with pytest.raises(ArtifactPathError):
            run._store(PurePosixPath(name), b"x")
    run._store(PurePosixPath("dangling/x"), b"x")
    run._store(PurePosixPath("file"), b"mine")  # the link is replaced, not followed
    assert tree(outside) == ["secret"]
    assert (outside / "secret").read_text() == "s"
    for name in ("link/secret", "artifacts/link/secret"):
        with pytest.raises((ArtifactPathError, FileNotFoundError)):
            backend.source().open(run.id, name)
    (artifacts / "direct").symlink_to(outside / "secret")
    with pytest.raises(OSError, match="symbolic"):
        backend.source().open(run.id, "artifacts/direct")
    assert sum("cannot write" in message for message in caplog.messages) == 1


def test_a_pipe_in_a_run_is_no_file(backend, run):
    """Opening it would wait for a writer."""
    artifacts = backend.root / "runs" / run.id / "artifacts"
    artifacts.mkdir()
    os.mkfifo(artifacts / "pipe")
    with pytest.raises(FileNotFoundError):
        backend.source().open(run.id, "artifacts/pipe")


@pytest.mark.parametrize(
    "name", ["../../x", "/etc/passwd", "a\0b", "\ud800", "x" * 100_000, "\u202egnp.exe", "a\nb", '"},{"']
)
def test_hostile_names_of_runs_land_only_in_records(tracked, tmp_path, name):
    before = everything(tmp_path, tracked)
    with autotrack.start_run(name=name, experiment=name, tags={name: name}) as run:
        run.log_params({name: 1})
        run.log_metrics({name: 0.5})
        run.child(name).end()
    found = autotrack.get_run(run.id)
    assert (found.name, found.experiment) == (name, name)
    assert found.tags == {name: name[: values.MAX_TEXT]}
    assert (found.params, found.metrics) == ({name: 1}, {name: 0.5})
    assert found.children[0].name == name
    assert everything(tmp_path, tracked) == before
    assert found.problems == []
