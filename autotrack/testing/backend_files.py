"""The checks of ``BackendSuite`` for stored files: whole or not at all, and never outside their run."""

from __future__ import annotations

import hashlib
import os
import threading
from pathlib import Path, PurePosixPath

from autotrack.backends.base import RunWriter, StoredFile
from autotrack.errors import ArtifactPathError, RunNotFound
from autotrack.testing.backend_case import LIMIT, Case, point, refused, rule, steps

_LONG = "x" * 201

HOSTILE_PATHS = [
    "", "/", "/etc/passwd", "..", "../x", "../../../secret", "a/../../x", "a/..", ".", "./a", "a//b", "a/", "a\0b",
    "\0", "a\nb", "a\x7f", "a\\b", "..\\x", "C:\\x", "C:/x", "c:", "\ud800", "a/\udfff", _LONG,
    f"a/{_LONG}", "a/" * 501 + "a",
]  # fmt: skip
"""What is refused."""

ODD_PATHS = [
    "artifacts/...", "artifacts/a..b", "artifacts/ ", "artifacts/~", "artifacts/~root/x", "artifacts/$HOME",
    "artifacts/-rf", "artifacts/a;b", "artifacts/a b", "artifacts/a%20b", "artifacts/a+b", "artifacts/%2e%2e/x",
    "artifacts/\uff0e\uff0e/x", "artifacts/\u202e/x", "artifacts/a?b#c&d=e", "artifacts/\u00fc", "artifacts/CON",
    "artifacts/a.tmp", "artifacts/" + "x" * 200, "artifacts/a/b/c/d/e", "models/m/m.skops", "children/1/artifacts/a",
]  # fmt: skip
"""What is taken as it is; no two of them are one."""


class FileTests:
    """Rules files and paths."""

    @rule("files")
    def test_a_file_comes_back_as_it_was(self, case: Case) -> None:
        """From bytes and from a path; empty, large, equal to another; with its size and sha256."""
        writer = case.begin()
        contents = {"empty": b"", "text": "\u00e9\r\n\0".encode(), "large": os.urandom(3_000_000), "twin": b"twin"}
        for name, content in contents.items():
            source = case.folder / "source"
            source.write_bytes(content)
            _stored(writer, f"artifacts/{name}", content)
            _stored(writer, f"artifacts/deep/er/{name}", content, source)
            source.write_bytes(b"changed later")
        for name, content in contents.items():
            for path in (f"artifacts/{name}", f"artifacts/deep/er/{name}"):
                assert _read(case, writer, path) == content, f"{path} does not come back as it was"

    @rule("files")
    def test_a_later_file_replaces_an_earlier_one(self, case: Case) -> None:
        """Whoever has opened the earlier one reads one of both, whole."""
        writer = case.begin()
        old, new = b"old" * 100_000, b"new" * 50_000
        _stored(writer, "artifacts/a", old)
        _stored(writer, "artifacts/b", old)
        with case.backend.source().open(writer.run_id, "artifacts/a") as file:
            _stored(writer, "artifacts/a", new)
            assert file.read() in (old, new), "a file that is replaced while it is read is a mixture"
        assert _read(case, writer, "artifacts/a") == new, "a file that was stored again is still the earlier one"
        assert _read(case, writer, "artifacts/b") == old, "replacing a file changes another one of equal content"

    @rule("files")
    def test_a_file_is_whole_whenever_it_is_read(self, case: Case) -> None:
        """Also while another thread stores it anew."""
        writer = case.begin()
        contents = [bytes([number]) * 200_000 for number in range(1, 9)]
        _stored(writer, "artifacts/a", contents[0])

        def store() -> None:
            for content in contents * 5:
                writer.put_file(PurePosixPath("artifacts/a"), content)

        thread = threading.Thread(target=store)
        thread.start()
        seen = set()
        while thread.is_alive():
            seen.add(_read(case, writer, "artifacts/a"))
        thread.join(LIMIT)
        seen.add(_read(case, writer, "artifacts/a"))
        torn = [content for content in seen if content not in contents]
        assert not torn, f"a reader saw a file of {[len(content) for content in torn]} bytes that nobody stored"
        assert _read(case, writer, "artifacts/a") == contents[-1], "the file is not the one that was stored last"

    @rule("files")
    def test_a_file_that_cannot_be_read_leaves_nothing(self, case: Case) -> None:
        """The caller is told, since it was the caller's file; an earlier one stays."""
        writer = case.begin()
        _stored(writer, "artifacts/old", b"old")
        for name in ("artifacts/old", "artifacts/new"):
            with refused((FileNotFoundError,), "storing a file that is not there"):
                writer.put_file(PurePosixPath(name), case.folder / "absent")
        assert _read(case, writer, "artifacts/old") == b"old", "a file that could not be stored replaced an earlier one"
        with refused((FileNotFoundError,), "opening a file that could not be stored"):
            case.backend.source().open(writer.run_id, "artifacts/new").close()
        writer.write([point(writer, 0)])
        assert steps(case.records(writer)) == [0], "after a file that was not there, records are lost"
        assert writer.dropped == 0, "a file that was not there counts as a lost record"

    @rule("files")
    def test_files_belong_to_their_run(self, case: Case) -> None:
        """What is not there is not found: no other run's file, no folder."""
        one, other = case.begin("one"), case.begin("other")
        _stored(one, "artifacts/deep/a", b"one")
        source = case.backend.source()
        with refused((FileNotFoundError,), "opening another run's file"):
            source.open(other.run_id, "artifacts/deep/a").close()
        for path in ("artifacts/b", "artifacts", "artifacts/deep", "artifacts/deep/a/b"):
            with refused((FileNotFoundError,), f"opening {path}, where there is no file,"):
                source.open(one.run_id, path).close()
        with refused((FileNotFoundError, RunNotFound), "a file of no run"):
            source.open("20000101T000000000-0000000000", "artifacts/deep/a").close()
        one.close()
        _stored(one, "artifacts/late", b"late")
        assert _read(case, one, "artifacts/late") == b"late", "a file that was stored after the end is lost"

    @rule("paths")
    def test_hostile_paths_are_refused(self, case: Case) -> None:
        """By both halves; nothing changes beside the store, and nothing beside it is read."""
        secret = case.folder / "secret"
        secret.write_bytes(b"s")
        writer = case.begin()
        _stored(writer, "artifacts/a", b"a")
        before = _beside(case)
        for path in HOSTILE_PATHS:
            with refused((ArtifactPathError, RunNotFound), f"opening {path[:50]!a}"):
                case.backend.source().open(writer.run_id, path).close()
            if str(PurePosixPath(path)) == path:
                with refused((ArtifactPathError,), f"storing {path[:50]!a}"):
                    writer.put_file(PurePosixPath(path), b"x")
        for run_id in ("..", "../..", ".", "", "/"):
            with refused((RunNotFound, ArtifactPathError, FileNotFoundError), f"opening a file of run {run_id!r}"):
                case.backend.source().open(run_id, "secret").close()
        assert _beside(case) == before, "something beside the store was made or changed"
        assert _read(case, writer, "artifacts/a") == b"a", "a refused path hurts a stored file"

    @rule("paths")
    def test_odd_paths_stay_as_they_are(self, case: Case) -> None:
        """No two names become one, no name becomes another."""
        writer = case.begin()
        before = _beside(case)
        for number, path in enumerate(ODD_PATHS):
            _stored(writer, path, b"%d" % number)
        for number, path in enumerate(ODD_PATHS):
            assert _read(case, writer, path) == b"%d" % number, f"{path!a} came back as another file"
        assert _beside(case) == before, "something beside the store was made or changed"


def _stored(writer: RunWriter, path: str, content: bytes, source: Path | None = None) -> None:
    expected = StoredFile(path, len(content), hashlib.sha256(content).hexdigest())
    found = writer.put_file(PurePosixPath(path), content if source is None else source)
    assert found == expected, f"a file of {len(content)} bytes was stored as {found}, not {expected}"


def _read(case: Case, writer: RunWriter, path: str) -> bytes:
    with case.backend.source().open(writer.run_id, path) as file:
        return file.read()


def _beside(case: Case) -> dict[str, int]:
    """Files in the folder of the check that are not in the store."""
    return {
        str(path): path.stat().st_mtime_ns
        for path in case.folder.rglob("*")
        if path.is_file() and not path.is_relative_to(case.store)
    }
