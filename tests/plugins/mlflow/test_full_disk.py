"""A server whose disk is full: its processes may write no more bytes; later they may again."""

import contextlib
import os
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest

from autotrack.errors import RemoteError
from tests.plugins.mlflow.conftest import start_server, stop_server
from tests.plugins.mlflow.copying import copy
from tests.plugins.mlflow.test_faults import check, record

pytestmark = pytest.mark.slow


@contextlib.contextmanager
def full(group: int) -> Iterator[None]:
    """No process of a group can make a file longer meanwhile."""
    pids = [int(pid) for pid in os.listdir("/proc") if pid.isdigit() and group_of(int(pid)) == group]
    before = {pid: resource.prlimit(pid, resource.RLIMIT_FSIZE) for pid in pids}
    for pid, (_, hard) in before.items():
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, hard))
    try:
        yield
    finally:
        for pid, limits in before.items():
            with contextlib.suppress(ProcessLookupError):
                resource.prlimit(pid, resource.RLIMIT_FSIZE, limits)


def group_of(pid: int) -> int:
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return 0


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="Linux alone limits another process")
def test_what_was_refused_comes_when_there_is_room(tracked: Path, tmp_path: Path):
    folder = tmp_path / "server"
    folder.mkdir()
    process, address = start_server(folder)
    try:
        ids = record("full", runs=1, points=1200)
        copy(tracked, address)
        with full(process.pid):
            more = record("full", runs=1, points=1200)
            with pytest.raises(RemoteError, match=r"answered 50[03]"):
                copy(tracked, address, patience=0)
        copy(tracked, address)
        check(address, "full", ids + more, 1200)
    finally:
        stop_server(process)
