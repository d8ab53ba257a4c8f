"""The file store: what lies where and with which mode, who still runs, and what hostile names and files can do."""

import hashlib
import json
import os
import re
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path, PurePosixPath

import pytest

import autotrack
from autotrack import reader, values
from autotrack.backends import file as file_store, liveness
from autotrack.backends.base import new_run_id, safe_path
from autotrack.backends.file import FileBackend
from autotrack.backends.file_source import FileSource
from autotrack.errors import ArtifactPathError, RunNotFound, StoreError, StoreVersionError
from autotrack.records import Begin, End, Note, encode
from autotrack.run import Run


@pytest.fixture
def backend(tmp_path):
    made = FileBackend(tmp_path / "store")
    yield made
    made.close()


@pytest.fixture
def run(backend):
    made = open_run(backend)
    yield made
    made.end()


def open_run(backend, name="r"):
    run_id = new_run_id(time.time())
    return Run(backend.open_run(run_id, Begin(name=name, experiment="e")), name, "e")


def read(backend, run):
    return reader.read_run(backend.source(), run.id)


def tree(root):
    return sorted(path.relative_to(root).as_posix() for path in root.rglob("*"))


# ---- layout ---------------------------------------------------------------------------------------------------------


def test_nothing_is_made_before_the_first_run(backend):
    assert backend.source().run_ids() == []
    assert not backend.root.exists()


def test_the_files_of_a_run(backend, run):
    run.log_metrics({"loss": 1.0})
    (journal,) = (backend.root / "runs" / run.id / "journal").iterdir()
    expected = [".gitignore", "runs", f"runs/{run.id}", f"runs/{run.id}/alive", f"runs/{run.id}/journal"]
    assert tree(backend.root) == sorted([*expected, f"runs/{run.id}/journal/{journal.name}", "store.json"])
    assert re.fullmatch(r"[0-9a-f]{16}\.jsonl", journal.name)
    assert (backend.root / ".gitignore").read_text() == "*\n"
    description = json.loads((backend.root / "store.json").read_text())
    assert (description["format"], description["min_reader"]) == (1, 1)
    assert re.fullmatch(r"[0-9a-f]{16}", description["store"])
    run.end()
    assert not (backend.root / "runs" / run.id / "alive").exists()


@pytest.mark.parametrize("mask", [0, 0o022, 0o027, 0o077])
def test_modes_do_not_depend_on_the_umask(tmp_path, mask):
    old = os.umask(mask)
    try:
        backend = FileBackend(tmp_path / "store")
        run = open_run(backend)
        run.log_params({"text": "x" * 5000})
        run.child("c")._store(PurePosixPath("a/b/c.txt"), b"x")
        source = tmp_path / "source.txt"
        source.write_text("x")
        source.chmod(0o777)
        run.log_artifact(source)
        modes = {
            path: stat.S_IMODE(path.stat().st_mode) for path in [backend.root, *backend.root.rglob("*")]
        }  # while it runs: with its alive file
        run.end()
    finally:
        os.umask(old)
    assert len(modes) > 12
    for path, mode in modes.items():
        assert mode == (0o700 if path.is_dir() else 0o600), path


def test_a_shared_store_gives_its_group_access(tmp_path):
    root = tmp_path / "store"
    root.mkdir()
    (root / "store.json").write_text('{"store": "0123456789abcdef", "format": 1, "min_reader": 1, "shared": true}')
    old = os.umask(0o077)
    try:
        run = open_run(FileBackend(root))
        run._store(PurePosixPath("a.txt"), b"x")
        folder = root / "runs" / run.id
        run.end()
    finally:
        os.umask(old)
    for path in (folder, folder / "journal", folder / "artifacts"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o2770
    for path in (*(folder / "journal").iterdir(), folder / "artifacts" / "a.txt"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o660


def test_run_ids_sort_by_start():
    times = [0.0, 1.0, 1.0015, 1.9995, 86400.0, 1763800000.123, 1763800000.124, 4e9]
    ids = [new_run_id(now) for now in times]
    assert ids == sorted(ids)
    assert all(re.fullmatch(r"[0-9]{8}T[0-9]{9}-[0-9a-f]{10}", run_id) for run_id in ids)
    assert len({new_run_id(1.0) for _ in range(1000)}) == 1000


def test_a_run_folder_is_made_by_one_only(backend, run):
    with pytest.raises(FileExistsError):
        backend.open_run(run.id, Begin(name="other"))
    assert read(backend, run).name == "r"


def test_a_store_of_a_newer_version_is_refused(backend, run):
    path = backend.root / "store.json"
    path.write_text('{"store": "x", "format": 9, "min_reader": 2}')
    with pytest.raises(StoreVersionError, match="Upgrade"):
        FileSource(backend.root)
    path.write_text('{"store": "x", "format": 9, "min_reader": 1}')
    assert FileSource(backend.root).run_ids() == [run.id]


@pytest.mark.parametrize("content", ["[" * 100_000, "{", "[]", '{"min_reader": "2"}', "\ud800"])
def test_a_damaged_store_file_is_named(tmp_path, content):
    (tmp_path / "store.json").write_bytes(content.encode("utf-8", "surrogatepass"))
    with pytest.raises(StoreError, match=r"store\.json"):
        FileSource(tmp_path)


# ---- who still runs -------------------------------------------------------------------------------------------------


def status_of(backend, run):
    return read(backend, run).status


def pretend(backend, run, age=0.0, **fields):
    """Replace the run's alive file: as if another process, or another host, had written it."""
    alive = backend.root / "runs" / run.id / "alive"
    alive.write_text(json.dumps({**liveness.identity(), **fields}))
    then = time.time() - age
    os.utime(alive, (then, then))
    return alive


def dead_process():
    done = subprocess.Popen([sys.executable, "-c", ""])
    started = liveness._started(done.pid)
    done.wait()
    return done.pid, started


def test_a_run_of_this_process_is_running_however_old_its_file(backend, run):
    assert status_of(backend, run) == "running"
    pretend(backend, run, age=10**6)
    assert status_of(backend, run) == "running"


def test_a_dead_process_of_this_host_is_killed(backend, run):
    pid, started = dead_process()
    pretend(backend, run, pid=pid, started=started)
    assert status_of(backend, run) == "killed"


def test_a_pid_that_was_given_again_is_killed(backend, run):
    pretend(backend, run, started="1")
    assert status_of(backend, run) == "killed"


@pytest.mark.parametrize("fields", [{"host": "elsewhere"}, {"boot": "earlier"}, {"namespace": "pid:[1]"}])
def test_elsewhere_the_age_of_the_file_counts(backend, run, fields):
    pretend(backend, run, **fields)
    assert status_of(backend, run) == "running"
    pretend(backend, run, age=liveness.LOST_AFTER + 5, **fields)
    assert status_of(backend, run) == "lost"
    pretend(backend, run, **fields)  # lost is reversible
    assert status_of(backend, run) == "running"


def test_without_an_alive_file_a_run_is_lost(backend, run):
    (backend.root / "runs" / run.id / "alive").unlink()
    assert status_of(backend, run) == "lost"


def test_an_ended_run_has_the_status_it_ended_with(backend, run):
    run.end("interrupted")
    pretend(backend, run, host="elsewhere", age=10**6)
    assert status_of(backend, run) == "interrupted"


def test_looking_leaves_nothing_behind(backend, run):
    pretend(backend, run, host="elsewhere")
    before = tree(backend.root)
    status_of(backend, run)
    assert tree(backend.root) == before


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"null", b"[" * 100_000, b"\xff", b'{"pid": "x"}', b'{"pid": {}}', b"1" * 5000],
    ids=lambda content: content[:10].decode("latin-1"),
)
def test_a_damaged_alive_file_hurts_nobody(backend, run, content):
    (backend.root / "runs" / run.id / "alive").write_bytes(content)
    assert status_of(backend, run) in ("running", "lost")


@pytest.mark.parametrize("pid", [0, -1, 10**30, True])
def test_an_alive_file_with_an_odd_pid(backend, run, pid):
    pretend(backend, run, pid=pid, started="")
    assert status_of(backend, run) in ("running", "killed")


def test_an_alive_file_that_is_a_pipe_or_a_link_is_not_read(backend, run, tmp_path):
    alive = pretend(backend, run)
    alive.unlink()
    os.mkfifo(alive)
    assert status_of(backend, run) == "lost"
    alive.unlink()
    alive.symlink_to("/dev/zero")
    assert status_of(backend, run) == "lost"


def test_identity_names_this_process():
    identity = liveness.identity()
    assert (identity["pid"], identity["host"]) == (os.getpid(), socket.gethostname())


# ---- files of a run -------------------------------------------------------------------------------------------------


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

    monkeypatch.setattr(file_store, "_copy", cut_short)
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


# ---- hostile journals -----------------------------------------------------------------------------------------------


def add(backend, run, data, name="feedfeedfeedfeed.jsonl"):
    (backend.root / "runs" / run.id / "journal" / name).write_bytes(data)


def nested(depth):
    return b"[" * depth + b"]" * depth


@pytest.mark.parametrize(
    "line",
    [
        *[b'{"k":"params","p":{"a":%s}}' % nested(depth) for depth in (100, 300, 500, 900, 990, 100_000)],
        *[b'{"k":"facts","f":{"data":%s}}' % nested(depth) for depth in (500, 990)],
        b'{"k":"m","m":{"a":1e400}}',
        b'{"k":"m","m":{"a":"five"}}',
        b'{"k":"m","m":{"a":1},"s":%d}' % 10**400,
        b'{"k":"m","t":%d}' % 10**400,
        b'{"k":"m","t":-%d,"m":{"a":1}}' % 10**17,
        b'{"k":"points","key":"a","s":[1,2],"v":[1]}',
        b'{"k":"points","key":"a","s":[1,2],"v":[1,2],"dt":[%d,1]}' % 10**400,
        b'{"k":"points","key":"a","s":[1,2],"v":[1,2],"e":[1]}',
        b'{"k":"params","p":{"a":{"$map":[1]},"b":{"$set":[[{}]]},"c":{"$float":{}}}}',
        b'{"k":"begin","c":"...","name":"x"}',
        b'{"k":"note","c":"\\ud800.\\u0000","text":"x"}',
        b'{"k":"end","status":"\\u001b[31m","duration":-1,"error":{"type":"","message":""},"dropped":-5}',
        b'{"k":"artifact","path":"../../../etc/passwd","size":-1,"sha256":""}',
        b'{"k":"model","name":"../x","format":"pickle","path":"/etc/passwd","size":1,"sha256":"x"}',
        b'{"k":"head","v":1,"run":"other","writer":"x","start":%d}' % 10**300,
        b'{"k":"seal","o":%d,"n":%d,"crc":%d}' % (10**400, -(10**400), 10**400),
        b"\x00" * 1000,
    ],
    ids=lambda line: f"{line[:24]!r}-{len(line)}",
)
def test_hostile_lines_never_stop_the_reader(backend, run, line):
    run.log_metrics({"loss": 0.5})
    head = encode(Note(text="x")).replace(
        b'"k":"note","text":"x"', b'"k":"head","v":1,"run":"r","writer":"w","start":1'
    )
    add(backend, run, head + line + b"\n" + encode(Note(text="after")))
    found = read(backend, run)
    assert found.history("loss")[0].value == 0.5
    assert ("info", "after") in found.notes
    assert repr(autotrack.RunList(backend.source(), [run.id]))


def test_stored_paths_that_lead_out_are_not_opened(backend, run):
    add(backend, run, b'{"k":"artifact","path":"../../../../etc/passwd","size":1,"sha256":""}\n')
    found = read(backend, run)
    (name,) = found.artifacts
    with pytest.raises(ArtifactPathError):
        found.open(name)


def test_journals_that_are_no_plain_files(backend, run, tmp_path):
    secret = tmp_path / "secret"
    secret.write_bytes(encode(Note(text="secret")))
    folder = backend.root / "runs" / run.id / "journal"
    (folder / "a.jsonl").symlink_to(secret)
    os.mkfifo(folder / "b.jsonl")
    (folder / "c.jsonl").mkdir()
    (folder / "d.jsonl").symlink_to("/dev/zero")
    (folder / "notes.txt").write_text("mine")
    found = read(backend, run)
    assert found.notes == []
    assert {problem.partition(":")[0] for problem in found.problems} == {"a.jsonl", "b.jsonl", "c.jsonl", "d.jsonl"}


def test_unknown_kinds_and_newer_heads_are_told(backend, run):
    add(backend, run, b'{"k":"head","v":1,"run":"r","writer":"w","start":1}\n{"k":"video"}\n{"k":"sound"}\n')
    add(backend, run, b'{"k":"head","v":99,"run":"r","writer":"v","start":1}\n' + encode(Note(text="x")), "99.jsonl")
    problems = " ".join(read(backend, run).problems)
    assert "2 records are of kinds" in problems
    assert "format 99" in problems


def test_a_run_without_a_journal_and_other_folders(backend, run):
    other = new_run_id(0.0)
    (backend.root / "runs" / other).mkdir()
    (backend.root / "runs" / "my notes").mkdir()
    assert backend.source().run_ids() == [other, run.id]
    found = reader.read_run(backend.source(), other)
    assert found.status == "lost"
    assert "journal" in found.problems[0]


def test_an_end_written_by_another_process_is_believed(backend, run):
    add(backend, run, encode(End(status="failed", duration=1.0)))
    assert status_of(backend, run) == "failed"
