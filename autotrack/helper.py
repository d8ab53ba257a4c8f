"""The helper process: ``python -m autotrack.helper FD``, jobs as JSON lines of a file. See ``models.conversion``."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from autotrack.backends.journal import JournalWriter
from autotrack.errors import ModelError
from autotrack.guard import protect
from autotrack.models.conversion import DONE_BYTES
from autotrack.models.formats import ModelFormat
from autotrack.plugins import model_formats
from autotrack.records import Model, Record, encode

__all__ = ["convert", "main"]


def convert(job: dict[str, Any], form: ModelFormat) -> None:
    """Do one job: the safe file first, then the record that names it, then the pickle goes.

    Where the model cannot be turned it stays a pickle, and its newest record says why.
    """
    folder = Path(job["folder"])
    source = folder / job["path"]
    if not source.exists():
        return  # the run was moved or deleted meanwhile
    data = source.read_bytes()
    journal = JournalWriter(folder / "journal", job["run"], source.stat().st_mode & 0o777)
    model = Model(
        t=journal.elapsed(), c=job["child"], name=job["name"], format="pickle", path=job["path"], size=len(data),
        sha256=job["sha256"], cls=job["cls"], requires=job.get("requires", {}),
        signature=job.get("signature", {}),
    )  # fmt: skip
    try:
        if hashlib.sha256(data).hexdigest() != job["sha256"]:
            raise ModelError("its file is not the one that was saved")  # and is not opened
        saved = form.convert(data)
    except ModelError as error:
        model.stays = str(error)
        _append(journal, model)
        return
    target = source.with_suffix(saved.suffix)
    temporary = target.with_name(f".{os.urandom(6).hex()}.tmp")
    temporary.write_bytes(saved.data)
    temporary.chmod(source.stat().st_mode & 0o777)
    temporary.rename(target)
    model.format, model.size, model.requires = saved.format, len(saved.data), saved.requires
    model.types = saved.types
    model.path, model.sha256 = target.relative_to(folder).as_posix(), hashlib.sha256(saved.data).hexdigest()
    _append(journal, model)
    source.unlink()


def _append(journal: JournalWriter, record: Record) -> None:
    journal.append(encode(record))
    journal.seal()
    journal.sync()
    journal.release()


def _lines(fd: int) -> Iterator[bytes]:
    """Jobs as they come, until stdin is closed and all are done."""
    offset, rest, more = DONE_BYTES, b"", True
    while more:
        more = bool(os.read(0, 4096))  # says when to look: a file does not
        while block := os.pread(fd, 1 << 16, offset):
            offset += len(block)
            *lines, rest = (rest + block).split(b"\n")
            yield from lines


def main() -> None:
    """Work until stdin is closed."""
    fd = int(sys.argv[1])
    os.nice(10)
    formats = {form.name: form for form in model_formats()}
    for done, line in enumerate(_lines(fd), 1):
        with protect("the helper process"):
            job = json.loads(line)
            if job["to"] in formats:
                convert(job, formats[job["to"]])
        os.pwrite(fd, b"%*d" % (DONE_BYTES, done), 0)


if __name__ == "__main__":
    main()
