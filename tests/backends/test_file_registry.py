"""The registry of the file store: what a death, damage and many processes at once leave."""

import hashlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from autotrack.backends.file import FileBackend
from autotrack.errors import ModelNotFound, StoreError
from autotrack.records import Model, RegistryChange, Version

REGISTER = """
import sys
from pathlib import Path
from tests.backends.test_file_registry import add
from autotrack.backends.file import FileBackend
registry = FileBackend(Path(sys.argv[1])).registry()
for _ in range(int(sys.argv[2])):
    print(add(registry), flush=True)
"""


def add(registry, content: bytes = b"a model", **more: object) -> int:
    model = Model(
        name="model", format="skops", path="model.skops", size=len(content), sha256=hashlib.sha256(content).hexdigest()
    )
    return registry.add("churn", Version(n=0, at=1, model=model, **more), {"model.skops": content})


def process(store: Path, count: int) -> "subprocess.Popen[str]":
    folder = Path(__file__).parents[2]
    return subprocess.Popen(
        [sys.executable, "-c", REGISTER, store, str(count)], stdout=subprocess.PIPE, text=True, cwd=folder
    )


def test_a_death_in_the_middle_leaves_a_registry_that_reads(tmp_path: Path):
    child = process(tmp_path / "s", 100_000)
    assert child.stdout is not None
    said = [int(child.stdout.readline()) for _ in range(20)]
    os.kill(child.pid, signal.SIGKILL)
    said += map(int, child.stdout.read().split())
    child.wait(60)
    child.stdout.close()
    registry = FileBackend(tmp_path / "s").registry()
    model = registry.read("churn")
    numbers = list(model.versions)
    assert model.problems == []
    assert numbers == list(range(1, len(numbers) + 1))
    assert set(said) <= set(numbers) <= {*said, said[-1] + 1}  # the last may have been there and not yet been told
    for number in numbers:
        with registry.open("churn", number, "model.skops") as file:
            assert file.read() == b"a model"
    assert add(registry) == len(numbers) + 1


def test_what_died_before_its_rename_is_not_read(tmp_path: Path):
    registry = FileBackend(tmp_path / "s").registry()
    add(registry)
    versions = tmp_path / "s/registry/churn/versions"
    (versions / ".0123.tmp").mkdir()
    (versions / ".0123.tmp/version.json").write_bytes((versions / "1/version.json").read_bytes())
    (tmp_path / "s/registry/empty/versions").mkdir(parents=True)  # it died even before
    assert registry.names() == ["churn"]
    assert list(registry.read("churn").versions) == [1]
    assert add(registry) == 2


def test_damage_costs_one_version_and_no_number(tmp_path: Path):
    registry = FileBackend(tmp_path / "s").registry()
    assert [add(registry) for _ in range(3)] == [1, 2, 3]
    registry.change("churn", RegistryChange(aliases={"champion": 2}))
    versions = tmp_path / "s/registry/churn/versions"
    (versions / "2/version.json").write_bytes(b"{")
    (versions / "3/version.json").write_bytes((versions / "1/version.json").read_bytes())  # of another version
    model = registry.read("churn")
    assert list(model.versions) == [1]
    assert len(model.problems) == 3, model.problems
    with pytest.raises(ModelNotFound):
        model.version("champion")
    assert add(registry) == 4


def test_a_torn_change_costs_itself_alone(tmp_path: Path):
    registry = FileBackend(tmp_path / "s").registry()
    add(registry)
    registry.change("churn", RegistryChange(aliases={"champion": 1}))
    registry.change("churn", RegistryChange(tags={"a": "b"}))
    journals = list((tmp_path / "s/registry/churn/journal").glob("*.jsonl"))
    (second,) = [journal for journal in journals if b'"tags"' in journal.read_bytes()]
    lines = second.read_bytes().splitlines(keepends=True)
    second.write_bytes(lines[0] + lines[1][:-5])
    model = registry.read("churn")
    assert (model.aliases, model.tags) == ({"champion": 1}, {})
    assert ["torn" in problem for problem in model.problems] == [True]


def test_a_change_comes_after_those_that_are_there_whatever_the_clocks_say(tmp_path: Path, monkeypatch):
    registry = FileBackend(tmp_path / "s").registry()
    add(registry)
    add(registry)
    with monkeypatch.context() as ahead:
        now = time.time
        ahead.setattr(time, "time", lambda: now() + 3600)
        registry.change("churn", RegistryChange(aliases={"champion": 1}))
    for number in (2, 1, 2):
        registry.change("churn", RegistryChange(aliases={"champion": number}))
        assert registry.read("churn").aliases == {"champion": number}


def test_what_a_hostile_journal_calls_an_alias_is_named_and_passed_over(tmp_path: Path):
    registry = FileBackend(tmp_path / "s").registry()
    add(registry)
    registry.change("churn", RegistryChange(aliases={"champion": 1}))
    (journal,) = (tmp_path / "s/registry/churn/journal").glob("*.jsonl")
    head, line, _ = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(head + line.replace(b"champion", rb"\u001b[2J"))
    model = registry.read("churn")
    assert (model.aliases, model.versions[1].aliases) == ({}, [])
    assert model.problems == [r"'\x1b[2J' is no alias"]


def test_a_version_that_nobody_could_read_is_not_made(tmp_path: Path):
    registry = FileBackend(tmp_path / "s").registry()
    add(registry)
    with pytest.raises(StoreError, match=r"has 16000[0-9]{3} bytes, and it would be version 2: too much"):
        add(registry, lineage={"params": {"text": "x" * 16_000_000}})
    last = tmp_path / "s/registry/churn/versions/999999999"
    last.mkdir()
    with pytest.raises(StoreError, match="version 1000000000: too much"):
        add(registry)
    last.rmdir()
    assert add(registry) == 2
    assert not list(last.parent.glob(".*"))


def test_a_shared_store_is_shared_whatever_the_umask(tmp_path: Path):
    backend = FileBackend(tmp_path / "s")
    backend.create(shared=True)
    old = os.umask(0o077)
    try:
        add(FileBackend(tmp_path / "s").registry())
    finally:
        os.umask(old)
    modes = {path.stat().st_mode & 0o7777 for path in (tmp_path / "s/registry").rglob("*")}
    assert modes == {0o2770, 0o660}


@pytest.mark.slow
def test_800_versions_of_8_processes(tmp_path: Path):
    children = [process(tmp_path / "s", 100) for _ in range(8)]
    said = [list(map(int, child.communicate(timeout=500)[0].split())) for child in children]
    assert sorted(number for one in said for number in one) == list(range(1, 801))
    assert all(one == sorted(one) for one in said)
    model = FileBackend(tmp_path / "s").registry().read("churn")
    assert (list(model.versions), model.problems) == (list(range(1, 801)), [])
