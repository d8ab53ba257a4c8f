"""What is in a store is untrusted: hostile journals, links and pipes."""

import os

import pytest

import autotrack
from autotrack import reader
from autotrack.backends.base import new_run_id
from autotrack.errors import ArtifactPathError
from autotrack.records import End, Note, encode
from tests.backends.stores import read


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
    assert read(backend, run).status == "failed"
