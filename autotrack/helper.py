"""The helper process: ``python -m autotrack.helper FD``, jobs as JSON lines of a file. See ``models.conversion``."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from autotrack.backends.file import FileBackend
from autotrack.backends.journal import JournalWriter
from autotrack.errors import ModelError
from autotrack.guard import protect
from autotrack.models.conversion import DONE_BYTES
from autotrack.models.formats import ModelFormat
from autotrack.plugins import model_formats
from autotrack.records import Artifact, Model, Record, encode_all, model_number

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
    _append(journal, *_keep_pages(folder, journal, model, saved.pages), model)  # in one: who waits waits for the model
    source.unlink()


def _keep_pages(folder: Path, journal: JournalWriter, model: Model, pages: Mapping[str, bytes]) -> list[Artifact]:
    """Store what shows a model, and give its records: ``report.html``, ``report-2.html`` where it was saved anew, in a
    folder of the model's name where that is no default. A file that is there already may be the user's, and stays."""
    kept: list[Artifact] = []
    number = model_number(model)
    with protect("what shows a model"):
        writer = FileBackend(folder.parents[1]).join_run(folder.name)
        for page, content in pages.items():
            name = PurePosixPath(page).with_stem(f"{PurePosixPath(page).stem}-{number}") if number > 1 else page
            top = PurePosixPath("children", model.c, "artifacts") if model.c else PurePosixPath("artifacts")
            path = top / ("" if model.name == "model" else model.name) / name
            stored = None if os.path.lexists(folder / path) else writer.put_file(path, content)
            if stored is not None:
                kept.append(Artifact(journal.elapsed(), model.c, **stored._asdict()))
    return kept


def _append(journal: JournalWriter, *records: Record) -> None:
    journal.append(encode_all(records))
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
