"""The file store: what lies where and with which mode."""

import json
import os
import re
import stat
from pathlib import PurePosixPath

import pytest

from autotrack.backends.base import new_run_id
from autotrack.backends.file import FileBackend
from autotrack.backends.file_source import FileSource
from autotrack.errors import StoreError, StoreVersionError
from autotrack.records import Begin
from tests.backends.stores import open_run, read, tree


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
