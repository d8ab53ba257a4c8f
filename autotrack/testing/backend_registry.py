"""The checks of ``BackendSuite`` for a registry; a backend without one (``registry()`` is None) skips them."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable

import pytest

from autotrack.backends.base import Backend
from autotrack.backends.registry import Registry
from autotrack.errors import ModelError, ModelNotFound
from autotrack.records import Model, RegistryChange, Version
from autotrack.testing.backend_case import Case, Child, refused, rule

__all__ = ["RegistryTests"]


def registry_of(backend: Backend) -> Registry:
    registry = backend.registry()
    if registry is None:
        pytest.skip("this backend has no registry")
    return registry


def version(content: bytes = b"a model", name: str = "model") -> Version:
    digest = hashlib.sha256(content).hexdigest()
    model = Model(name=name, format="skops", path="model.skops", size=len(content), sha256=digest, cls="a.B")
    return Version(n=0, at=1795375815123456, by="ann", run="20261122T193015123-9f8e7d6c5b", model=model)


def add(registry: Registry, name: str = "churn", content: bytes = b"a model") -> int:
    return registry.add(name, version(content), {"model.skops": content, "requirements.txt": b"scikit-learn==1.9.1\n"})


class RegistryTests:
    """Rules numbers, whole, fixed, changes and names."""

    @rule("registry, whole")
    def test_a_version_comes_back_as_it_was_registered(self, case: Case) -> None:
        """Its description, its files, and nothing of other models."""
        registry = registry_of(case.backend)
        assert registry.names() == [], "a new store has registered models"
        given = version()
        given.lineage = {"params": {"C": 0.1}, "data": {"hash": "ab"}}
        number = registry.add("churn", given, {"model.skops": b"a model", "requirements.txt": b"x==1\n"})
        add(registry, "other", b"another")
        found = registry_of(case.backend).read("churn").versions[number]
        assert (found.name, found.version.n) == ("churn", 1), f"the first version came back as {found.version.n}"
        assert found.version.model == given.model, "a version's model came back changed"
        assert (found.version.run, found.version.by) == (given.run, given.by), "where a version is from got lost"
        assert found.version.lineage == given.lineage, "a version's lineage came back changed"
        with registry.open("churn", 1, "model.skops") as file:
            assert file.read() == b"a model", "a version's file came back changed"
        names = {file.path: file.size for file in found.version.files}
        assert names == {"model.skops": 7, "requirements.txt": 5}, f"a version names other files: {names}"
        assert registry.names() == ["churn", "other"], "registered models are missing, or not sorted"

    @rule("registry, numbers")
    def test_versions_are_numbered_from_one(self, case: Case) -> None:
        """Name by name."""
        registry = registry_of(case.backend)
        given = [add(registry, content=b"%d" % number) for number in range(5)]
        assert given == [1, 2, 3, 4, 5], f"five versions got the numbers {given}"
        assert add(registry, "other") == 1, "another model's versions do not begin with 1"
        contents = []
        for number in given:
            with registry.open("churn", number, "model.skops") as file:
                contents.append(file.read())
        assert contents == [b"0", b"1", b"2", b"3", b"4"], "versions are mixed"

    @rule("registry, numbers")
    def test_processes_register_at_once(self, case: Case) -> None:
        """No gap and no double, in a store that is not there yet."""
        if not case.suite.outlives_process:
            pytest.skip("this store does not outlive its process")
        registry_of(case.backend)
        together = time.monotonic() + 0.1

        def work(say: Callable[[int], None]) -> None:
            registry = registry_of(case.open())
            time.sleep(max(0.0, together - time.monotonic()))
            for _ in range(5):
                say(add(registry))

        children = [Child(work) for _ in range(4)]
        given = sorted(number for child in children for number in child.join())
        assert given == list(range(1, 21)), f"4 processes registered 5 versions each; they got {given}"
        assert list(registry_of(case.open()).read("churn").versions) == given, "versions are missing"

    @rule("registry, fixed")
    def test_a_model_with_another_hash_is_refused(self, case: Case) -> None:
        """And takes no number."""
        registry = registry_of(case.backend)
        with refused((ModelError,), "registering a file that has changed"):
            registry.add("churn", version(b"as saved"), {"model.skops": b"changed"})
        assert registry.names() == [], "what was refused is there"
        assert add(registry) == 1, "what was refused took a number"

    @rule("registry, changes")
    def test_aliases_move_and_the_history_tells(self, case: Case) -> None:
        """The last change of each counts; who made it is told where there is a history."""
        registry = registry_of(case.backend)
        add(registry)
        add(registry)
        registry.change("churn", RegistryChange(by="ann", aliases={"champion": 1, "old": 1}))
        registry.change("churn", RegistryChange(by="bob", aliases={"champion": 2, "old": None}))
        model = registry_of(case.open() if case.suite.outlives_process else case.backend).read("churn")
        assert model.aliases == {"champion": 2}, f"aliases are {model.aliases}"
        assert model.version("champion").version.n == 2, "an alias leads to another version"
        assert model.versions[2].aliases == ["champion"], "a version does not tell its aliases"
        if model.history:
            told = [(entry.change.by, entry.change.aliases) for entry in model.history]
            assert told == [("ann", {"champion": 1, "old": 1}), ("bob", {"champion": 2, "old": None})], told

    @rule("registry, changes")
    def test_tags_and_descriptions(self, case: Case) -> None:
        """Of the model and of a version; what is not given stays."""
        registry = registry_of(case.backend)
        add(registry)
        registry.change("churn", RegistryChange(tags={"team": "sales", "x": "1"}, description="who leaves"))
        registry.change("churn", RegistryChange(n=1, tags={"checked": "yes"}, description="the first"))
        registry.change("churn", RegistryChange(tags={"x": None}))
        model = registry.read("churn")
        assert (model.tags, model.description) == ({"team": "sales"}, "who leaves"), "the model's tags are others"
        one = model.versions[1]
        assert (one.tags, one.description) == ({"checked": "yes"}, "the first"), "a version's tags are others"

    @rule("registry, names")
    def test_what_is_not_there_is_said(self, case: Case) -> None:
        """Models, versions, aliases, files."""
        registry = registry_of(case.backend)
        with refused((ModelNotFound,), "reading a registered model that is not there"):
            registry.read("churn")
        with refused((ModelNotFound,), "changing a registered model that is not there"):
            registry.change("churn", RegistryChange(aliases={"champion": 1}))
        add(registry)
        for change in (RegistryChange(aliases={"champion": 2}), RegistryChange(n=2, tags={"a": "b"})):
            with refused((ModelNotFound,), "a change of a version that is not there"):
                registry.change("churn", change)
        with refused((ModelNotFound,), "opening a file that is not there"):
            registry.open("churn", 1, "other.skops")
        with refused((ModelNotFound,), "opening a version that is not there"):
            registry.open("churn", 2, "model.skops")
        assert registry.read("churn").aliases == {}, "a change that was refused was made"

    @rule("registry, names")
    def test_names_that_cannot_be_are_refused(self, case: Case) -> None:
        """What would leave the store, or mean something else in a reference."""
        registry = registry_of(case.backend)
        for name in ("", ".", "..", "a/b", "a@b", "a:b", "../up", "a\n", ".hidden", "x" * 300):
            with refused((ModelError,), f"registering a model as {name!r}"):
                add(registry, name)
        assert registry.names() == [], "a model of a refused name is there"
        add(registry)
        for alias in ("", "3", "latest", "v2", "a b", "a/b", "a@b", "a\n"):
            with refused((ModelError,), f"the alias {alias!r}"):
                registry.change("churn", RegistryChange(aliases={alias: 1}))
        assert registry.read("churn").aliases == {}, "an alias that was refused is there"
