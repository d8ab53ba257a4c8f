"""Models of runs, once the helper has turned them."""

import hashlib
import json
import time
from pathlib import Path

from sklearn.datasets import load_iris

import autotrack

X, y = load_iris(return_X_y=True)


def wait_for_helper(deadline=60.0):
    """Until the helper has done the jobs that this process gave it."""
    end = time.monotonic() + deadline
    run = autotrack.last_run()
    while time.monotonic() < end:
        record = autotrack.get_run(run.id)
        if all(model.format != "pickle" or model.stays for model in record.models.values()):
            return record
        time.sleep(0.05)
    raise AssertionError(f"still pickles: {record.models}")


def model_file(store: Path, record, name="model") -> Path:
    return store / "runs" / record.id / record.models[name].path


class Bomb:
    """A pickle of this makes a file when it is opened."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return (open, (self.path, "w"))


def plant(store: Path, record, data: bytes, *, form: str | None = None, name="model"):
    """Put other bytes in a model's place, with a record that names them, as somebody with write access could."""
    path = model_file(store, record, name)
    path.write_bytes(data)
    journal = next(iter((store / "runs" / record.id / "journal").glob("*.jsonl")))
    line = {
        "k": "model",
        "t": 10**12,
        "name": name,
        "format": form or record.models[name].format,
        "path": record.models[name].path,
        "size": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
    }
    with journal.open("ab") as file:
        file.write(json.dumps(line).encode() + b"\n")


def wait_until(condition, seconds=60.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.02)
