"""Backends with one fault each: ``Good`` passes everything on to a real backend; a mutant changes one method of it."""

from autotrack.backends.base import RunSource

MUTANTS: dict[str, tuple[type, str, str, str]] = {}
"""By name: the class, the rule that it breaks, words of the message, and what is beneath it (memory or file)."""


def breaks(rule, words, over="memory"):
    def register(cls):
        MUTANTS[cls.__name__] = (cls, rule, words, over)
        return cls

    return register


class Good:
    def __init__(self, inner):
        self.inner = inner
        self.memo = {}

    def open_run(self, run_id, begin):
        return Writer(self, self.inner.open_run(run_id, begin))

    def source(self):
        return Source(self, self.inner.source())

    def registry(self):
        return self.inner.registry()

    def close(self):
        self.inner.close()

    def again(self, run_id):
        """A second delivery: each record comes under the identity that it has already."""

    def write(self, writer, records):
        writer.write(records)

    def elapsed(self, writer):
        return writer.elapsed()

    def put_file(self, writer, path, source):
        return writer.put_file(path, source)

    def end(self, writer):
        writer.close()

    def run_ids(self, source):
        return source.run_ids()

    def read(self, source, run_id):
        return source.read(run_id)

    def heads(self, source, query):
        return source.heads(query)

    def history(self, source, run_id, key):
        return source.history(run_id, key)

    def open_file(self, source, run_id, path):
        return source.open(run_id, path)


class Writer:
    def __init__(self, backend, inner):
        self._backend = backend
        self._inner = inner
        self.run_id, self.start = inner.run_id, inner.start

    @property
    def dropped(self):
        return self._inner.dropped

    def elapsed(self):
        return self._backend.elapsed(self._inner)

    def write(self, records):
        self._backend.write(self._inner, records)

    def put_file(self, path, source):
        return self._backend.put_file(self._inner, path, source)

    def close(self):
        self._backend.end(self._inner)


class Source(RunSource):
    """What a mutant lists and reads, its heads and histories show."""

    def __init__(self, backend, inner):
        self._backend = backend
        self._inner = inner

    def run_ids(self):
        return self._backend.run_ids(self._inner)

    def read(self, run_id):
        return self._backend.read(self._inner, run_id)

    def heads(self, query):
        return self._backend.heads(super(), query)

    def history(self, run_id, key):
        return self._backend.history(super(), run_id, key)

    def open(self, run_id, path):
        return self._backend.open_file(self._inner, run_id, path)
