"""How a file store is made to refuse, spoiled, and copied a second time: for suites over it."""

import contextlib
import resource
import shutil
import signal
from pathlib import Path
from unittest import mock

from autotrack.backends import journal
from autotrack.backends.file import FileBackend
from autotrack.testing.backend_suite import BackendSuite


class FileStoreSuite(BackendSuite):
    def backend(self, folder: Path) -> FileBackend:
        return FileBackend(folder)

    @contextlib.contextmanager
    def refusing(self, backend):
        """No file may grow: the system itself refuses every byte."""
        old = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        with mock.patch.object(journal, "RETRY_AFTER", 0.0):
            resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
            try:
                yield
            finally:
                resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
                signal.signal(signal.SIGXFSZ, old)

    def damages(self):
        return {
            "a flipped bit in a text": lambda backend, run_id: rewrite(backend, run_id, flip_text),
            "a line of zeros": lambda backend, run_id: rewrite(backend, run_id, blank_line),
            "a line that is gone": lambda backend, run_id: rewrite(backend, run_id, drop_line),
            "a torn last line": lambda backend, run_id: rewrite(backend, run_id, lambda data: data[:-5]),
            "a torn record": lambda backend, run_id: rewrite(backend, run_id, tear_record),
        }

    def deliver_again(self, backend, run_id):
        """The run's folder is copied away, and copied back over itself."""
        run = backend.root / "runs" / run_id
        copy = backend.root.parent / "copy"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(run, copy)
        shutil.copytree(copy, run, dirs_exist_ok=True)


def rewrite(backend, run_id, change):
    (path,) = (backend.root / "runs" / run_id / "journal").iterdir()
    path.write_bytes(change(path.read_bytes()))


def flip_text(data):
    at = data.index(b"note 5")
    return data[:at] + b"N" + data[at + 1 :]


def line_at(data):
    at = data.index(b"note 5")
    return data.rindex(b"\n", 0, at) + 1, data.index(b"\n", at)


def blank_line(data):
    start, end = line_at(data)
    return data[:start] + b"\0" * (end - start) + data[end:]


def drop_line(data):
    start, end = line_at(data)
    return data[:start] + data[end + 1 :]


def tear_record(data):
    return data[: data.index(b"note 9") + 3]
