"""A journal that is read while it grows gives what it gives when it is read whole."""

import random
from pathlib import Path

import pytest

from autotrack.backends.journal import JournalWriter, read_journal
from autotrack.backends.tail import JournalTail
from autotrack.records import Metrics, encode

RUN = "20261122T193015123-9f8e7d6c5b"


def journal(folder: Path, lines: int = 3000) -> tuple[Path, bytes]:
    """A journal with some seals."""
    writer = JournalWriter(folder, RUN)
    for step in range(lines):
        writer.append(encode(Metrics(writer.elapsed(), "", {"loss": step / 2, "a longer name": 1.0}, step)))
    writer.seal()
    writer.release()
    assert writer.path is not None
    return writer.path, writer.path.read_bytes()


@pytest.mark.parametrize("seed", range(5))
def test_read_in_pieces(seed: int, tmp_path: Path):
    path, data = journal(tmp_path)
    expected, _, _ = read_journal(path.name, data, RUN)
    pieces = random.Random(seed)
    tail, found, size = JournalTail(path, RUN), [], 0
    path.write_bytes(b"")
    while size < len(data):
        more = pieces.choice([1, 10, 1000, 20_000])
        with path.open("ab") as file:
            file.write(data[size : size + more])
        size += more
        while entries := tail.read(pieces.choice([16, 5000, 1 << 20])):
            found += entries
    assert found == expected
    assert tail.offset == len(data)


def test_damage_costs_no_other_line_and_moves_no_number(tmp_path: Path):
    path, data = journal(tmp_path)
    lines = data.split(b"\n")
    lines[100] = b'{"k":"m","t":'
    lines[200:202] = [lines[200] + lines[201]]  # two lines became one; after the seal the numbers are right again
    path.write_bytes(b"\n".join(lines))
    expected, damage, _ = read_journal(path.name, path.read_bytes(), RUN)
    tail, found = JournalTail(path, RUN), []
    while entries := tail.read(10_000):
        found += entries
    assert found == expected
    assert len(expected) == 3000 - 3
    assert len(tail.damage) == 2 <= len(damage)


def test_times_out_of_range_are_damage(tmp_path: Path):
    path, _ = journal(tmp_path, 3)
    far = [
        b'{"k":"note","t":%d,"text":"far"}' % 10**18,
        b'{"k":"head","v":1,"run":"r","writer":"w","start":%d}' % 10**400,
    ]
    with path.open("ab") as file:
        file.write(b"\n".join([*far, b'{"k":"note","t":1,"text":"here"}', b""]))
    expected, damage, _ = read_journal(path.name, path.read_bytes(), RUN)
    tail = JournalTail(path, RUN)
    assert tail.read() == expected
    assert expected[-1].time < 1e10
    assert len(tail.damage) == 2 == len([what for what in damage if "out of range" in what])


def test_what_is_no_plain_file_is_not_read(tmp_path: Path):
    path, _ = journal(tmp_path, 3)
    link = tmp_path / "link.jsonl"
    link.symlink_to(path)
    assert JournalTail(link, RUN).read() == []
    assert JournalTail(tmp_path / "gone.jsonl", RUN).read() == []
