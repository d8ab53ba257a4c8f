"""What the checks of ``BackendSuite`` work with: a store under test, a forked process, and how a failure is told."""

from __future__ import annotations

import functools
import logging
import os
import select
import signal
import time
import traceback
import warnings
from collections.abc import Callable, Generator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, ClassVar

import pytest

from autotrack.backends.base import Backend, RunLog, RunWriter, new_run_id
from autotrack.records import Begin, Metrics, Record, encode

LIMIT = 60
"""Seconds that a process or a thread of a check may take."""


class BackendHooks:
    """What the author of a backend says about it. Only ``backend`` must be written.

    Attributes:
        outlives_process: Whether what is written can be read by other processes, and after the death of its own.
            False for a store in memory.
    """

    outlives_process: ClassVar[bool] = True

    def backend(self, folder: Path) -> Backend:
        """A new backend object over the store that belongs to ``folder``: empty for a folder that was not given before.

        Called with the same folder again, also in another process, it opens the same store. A store that needs no
        folder may take the last part of the path for a name: it is random.
        """
        raise NotImplementedError("say how a backend is made: def backend(self, folder)")

    def settle(self, backend: Backend, run_id: str) -> None:
        """Called before a run is read back whole: wait here where writing and reading are some time apart."""

    def refusing(self, backend: Backend) -> AbstractContextManager[None]:
        """A context in which the store takes nothing: a full disk, a server that is down."""
        pytest.skip("this suite does not say how its store is made to refuse (refusing)")

    def damages(self) -> dict[str, Callable[[Backend, str], None]]:
        """By name, functions ``spoil(backend, run_id)``: each spoils at most one record of what is stored of a run."""
        pytest.skip("this suite does not say how what is stored can be damaged (damages)")

    def deliver_again(self, backend: Backend, run_id: str) -> None:
        """Hand the store once more all that it was given of a run, as after an answer that got lost."""
        pytest.skip("this suite does not say how something is delivered a second time (deliver_again)")


class Case:
    """One store, new for this check, and the backends that were opened over it."""

    def __init__(self, suite: BackendHooks, folder: Path) -> None:
        self.suite = suite
        self.folder = folder
        self.store = folder / f"store-{os.urandom(6).hex()}"  # a name that no server has met
        self._opened: list[Backend] = []
        self._begun = 0  # when the last run began, in milliseconds
        self.backend = self.open()

    def open(self) -> Backend:
        """Another backend over the same store, as another process would open it."""
        backend = self.suite.backend(self.store)
        self._opened.append(backend)
        return backend

    def begin(self, name: str = "r", backend: Backend | None = None) -> RunWriter:
        """A new run, in a later millisecond than those before it: ids have no finer order."""
        while (stamp := int(time.time() * 1000)) <= self._begun:
            time.sleep(0.0005)
        self._begun = stamp
        run_id = new_run_id((stamp + 0.5) / 1000)
        return (backend or self.backend).open_run(run_id, Begin(name=name, experiment="suite"))

    def read(self, writer: RunWriter, backend: Backend | None = None) -> RunLog:
        """All of a run."""
        self.suite.settle(backend or self.backend, writer.run_id)
        return (backend or self.backend).source().read(writer.run_id)

    def records(self, writer: RunWriter) -> list[Record]:
        """A run's records after the first, which begins it."""
        log = self.read(writer)
        assert log.damage == [], f"an undamaged run is said to be damaged: {log.damage}"
        found = [entry.record for entry in log.entries]
        assert found, "a run that was begun has no records"
        assert isinstance(found[0], Begin), f"the first record is {found[0]}, not the one that begins the run"
        return found[1:]

    def close(self) -> None:
        """At the end of the check."""
        for backend in self._opened:
            backend.close()


Test = Callable[[Any, Case], None]


def rule(name: str) -> Callable[[Test], Test]:
    """The check of one rule of the contract: whatever goes wrong in it is told under the rule's name."""

    def decorate(test: Test) -> Test:
        @functools.wraps(test)
        def checked(self: Any, case: Case) -> None:
            try:
                test(self, case)
                return
            except AssertionError as failure:
                said = str(failure)
            except Exception:  # noqa: BLE001  told, not swallowed
                said = traceback.format_exc(limit=-4)
            pytest.fail(f"backend contract, {name}: {said}", pytrace=False)

        checked.__dict__["rule"] = name
        return checked

    return decorate


def point(writer: RunWriter, step: int, key: str = "loss") -> Metrics:
    """A record that tells by its step which one it is."""
    return Metrics(writer.elapsed(), "", {key: float(step)}, step)


def steps(records: Sequence[Record], key: str = "loss") -> list[int | None]:
    """Which of ``point``'s records these are."""
    return [record.s for record in records if isinstance(record, Metrics) and key in record.m]


def same_records(found: Sequence[Record], written: Sequence[Record]) -> None:
    """Fail at the first difference; ``1`` and ``1.0``, ``0.0`` and ``-0.0`` differ."""
    for number, (one, other) in enumerate(zip(found, written, strict=False), 1):
        assert encode(one) == encode(other), f"record {number} was {_short(other)} and came back as {_short(one)}"
    assert len(found) == len(written), f"{len(written)} records were written, {len(found)} came back"


def _short(record: Record) -> str:
    text = ascii(record)
    return text if len(text) <= 300 else text[:300] + "…"


@contextmanager
def refused(errors: tuple[type[Exception], ...], what: str) -> Generator[None, None, None]:
    """Fail unless one of these errors is raised."""
    names = " or ".join(error.__name__ for error in errors)
    try:
        yield
    except errors:
        return
    except Exception as error:
        raise AssertionError(f"{what} raised {type(error).__name__} ({error!s:.200}), not {names}") from error
    raise AssertionError(f"{what} did not raise {names}")


@contextmanager
def listening() -> Generator[list[str], None, None]:
    """What autotrack's log says, from warnings on."""
    told: list[str] = []
    listener = logging.Handler(logging.WARNING)
    listener.emit = lambda record: told.append(record.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger("autotrack")
    logger.addHandler(listener)
    try:
        yield told
    finally:
        logger.removeHandler(listener)


class Child:
    """A forked process that does some work and says numbers on the way."""

    def __init__(self, work: Callable[[Callable[[int], None]], None]) -> None:
        self._reading, writing = os.pipe()
        self._said = b""
        with warnings.catch_warnings():  # from 3.12 on Python warns where there are threads: the contract allows it
            warnings.simplefilter("ignore", DeprecationWarning)
            self.pid = os.fork()
        if self.pid == 0:
            status = 1
            try:
                signal.signal(signal.SIGALRM, signal.SIG_DFL)
                signal.alarm(LIMIT)
                work(lambda number: _say(writing, b"%d" % number))
                status = 0
            except BaseException:  # noqa: BLE001  told, not swallowed
                _say(writing, traceback.format_exc().encode(errors="backslashreplace").replace(b"\n", b" | "))
            finally:
                os._exit(status)
        os.close(writing)

    def listen(self, numbers: int) -> list[int]:
        """What it said so far, once that is so much."""
        deadline = time.monotonic() + LIMIT
        while len(self._numbers()) < numbers:
            assert time.monotonic() < deadline, f"a process wrote too little in {LIMIT} s: {self._numbers()}"
            if not self._hear():
                break
        return self._numbers()

    def _numbers(self) -> list[int]:
        *whole, _ = self._said.split(b"\n")
        for line in whole:
            assert line.isdigit(), f"a process failed: {line.decode()}"
        return [int(line) for line in whole]

    def _hear(self) -> bool:
        """Some more; False when it is gone."""
        ready, _, _ = select.select([self._reading], [], [], 1.0)
        if not ready:
            return True
        heard = os.read(self._reading, 65536)
        self._said += heard
        return bool(heard)

    def kill(self) -> list[int]:
        """End it by SIGKILL: what it said."""
        os.kill(self.pid, signal.SIGKILL)
        return self._end()

    def join(self) -> list[int]:
        """Wait for its end: what it said."""
        return self._end()

    def _end(self) -> list[int]:
        while self._hear():
            pass
        os.close(self._reading)
        os.waitpid(self.pid, 0)
        return self._numbers()


def _say(pipe: int, text: bytes) -> None:
    os.write(pipe, text + b"\n")
