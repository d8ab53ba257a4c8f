"""Mutants of a good registry."""

import hashlib
from dataclasses import replace

import msgspec

from autotrack.backends.registry import fold_registered
from tests.testing.mutants import Good, breaks


class Over:
    """A registry that passes everything on."""

    def __init__(self, backend, inner):
        self.backend = backend
        self.inner = inner
        self.names, self.read, self.add, self.change, self.open = (
            getattr(self, f"_{name}", getattr(inner, name)) for name in ("names", "read", "add", "change", "open")
        )


class WithRegistry(Good):
    over = Over

    def registry(self):
        return self.over(self, self.inner.registry())


@breaks("registry, numbers", "got the numbers [1, 3, 5, 7, 9]")
class LeavesGaps(WithRegistry):
    class over(Over):
        def _add(self, name, version, files):
            return 2 * self.inner.add(name, version, files) - 1


@breaks("registry, numbers", "they got", over="file")
class CountsItsOwn(WithRegistry):
    """As if nobody else registered."""

    class over(Over):
        def _add(self, name, version, files):
            self.inner.add(name, version, files)
            self.backend.memo[name] = self.backend.memo.get(name, 0) + 1
            return self.backend.memo[name]


@breaks("registry, whole", "lineage came back changed")
class ForgetsTheLineage(WithRegistry):
    class over(Over):
        def _add(self, name, version, files):
            return self.inner.add(name, msgspec.structs.replace(version, lineage={}), files)


@breaks("registry, fixed", "did not raise ModelError")
class TakesAnyContent(WithRegistry):
    class over(Over):
        def _add(self, name, version, files):
            digest = hashlib.sha256(files["model.skops"]).hexdigest()
            model = msgspec.structs.replace(version.model, sha256=digest)
            return self.inner.add(name, msgspec.structs.replace(version, model=model), files)


@breaks("registry, changes", "aliases are")
class KeepsTheFirstAlias(WithRegistry):
    class over(Over):
        def _read(self, name):
            model = self.inner.read(name)
            versions = [version.version for version in model.versions.values()]
            return replace(fold_registered(name, versions, model.history[::-1]), history=model.history)


@breaks("registry, names", "did not raise ModelNotFound")
class ChangesWhatIsNotThere(WithRegistry):
    class over(Over):
        def _change(self, name, change):
            if name in self.inner.names():
                self.inner.change(name, msgspec.structs.replace(change, n=0, aliases={}))
