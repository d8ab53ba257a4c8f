"""A process that changes a store, and dies by kill -9 at one of its steps."""

import signal
import subprocess
import sys
from pathlib import Path

KILLED = """
import os, signal, sys
from pathlib import Path
from autotrack.backends import journal
from autotrack.backends.file_source import FileSource
from autotrack.backends import trash
from autotrack.backends.waste import find_waste

verb, moment, count, root, run_id = sys.argv[1:]
left = int(count)

def dies(function, before):
    def call(*arguments, **more):
        global left
        left -= 1
        if before and not left:
            os.kill(os.getpid(), signal.SIGKILL)
        result = function(*arguments, **more)
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)
        return result
    return call

for name in ("rename", "mkdir", "write", "unlink", "rmdir"):
    setattr(os, name, dies(getattr(os, name), moment == "before"))
source = FileSource(Path(root))
if verb == "remove":
    source.remove(run_id)
elif verb == "restore":
    source.restore(run_id)
elif verb == "delete":
    trash.delete(Path(root), run_id)
else:
    for one in list(find_waste(source, 0.0)):
        one.clear()
"""


def killed(verb: str, moment: str, count: int, root: Path, run_id: str) -> bool:
    """Whether the process died at its ``count``-th step; False where it had fewer."""
    done = subprocess.run(
        [sys.executable, "-c", KILLED, verb, moment, str(count), str(root), run_id],
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode in (0, -signal.SIGKILL), done.stderr
    return done.returncode != 0
