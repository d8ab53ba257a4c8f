"""Journals of a folder, read and made."""

from autotrack.backends.journal import JournalWriter, read_journal
from autotrack.records import encode

RUN = "20261122T193015123-9f8e7d6c5b"


def files(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.glob("*.jsonl"))}


def read(folder):
    """(records of all files, damage) of a folder."""
    records, damage = [], []
    for name, data in files(folder).items():
        entries, hurt, unknown = read_journal(name, data, RUN)
        assert unknown == 0
        records += [entry.record for entry in entries]
        damage += hurt
    return records, damage


def sealed(folder, records):
    """The bytes of a sealed journal of these records."""
    writer = JournalWriter(folder, RUN)
    for record in records:
        writer.append(encode(record))
    writer.seal()
    writer.release()
    data = writer.path.read_bytes()
    writer.path.unlink()
    return data
