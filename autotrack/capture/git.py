"""The state of the work tree: commit, branch, remote, and all that differs from the commit, as one patch.

A repository may be hostile: its own configuration must not make us run a program. External diffs, text
converters, fsmonitor, hooks and fetching are switched off, and so is every filter that the repository itself
(not the user) configures. Submodules are not entered. Every command has a time, every output a size.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from autotrack.capture.process import readable

__all__ = ["MAX_PATCH", "TIME_LIMIT", "GitState", "git_state", "stop"]

TIME_LIMIT = 10.0
"""Seconds for all git commands together."""

MAX_PATCH = 1_000_000
"""Bytes kept of the patch; what is beyond is cut, and said so."""

_MAX_UNTRACKED = 200
_MAX_UNTRACKED_BYTES = 100_000
_MAX_LEFT_OUT = 20
_ENOUGH = 1 << 20  # bytes of names
_QUIET = {
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_ASKPASS": "true",
    "GIT_NO_LAZY_FETCH": "1",  # a partial clone would fetch what is missing, by a program that it names itself
    "GIT_ALLOW_PROTOCOL": "none",  # the same for versions of git that do not know the line above
    "LC_ALL": "C",
}
_OFF = {
    "core.fsmonitor": "false",
    "core.hooksPath": os.devnull,
    "core.untrackedCache": "false",
    "core.quotePath": "false",
    "diff.autoRefreshIndex": "false",
    "diff.external": "",
    "diff.ignoreSubmodules": "all",
    "status.submoduleSummary": "false",
    "submodule.recurse": "false",
}
_DIFF = (
    "--no-ext-diff", "--no-textconv", "--no-color", "--no-renames", "--no-relative", "--ignore-submodules=all",
    "--submodule=short", "--src-prefix=a/", "--dst-prefix=b/", "--unified=3", "--inter-hunk-context=0",
)  # fmt: skip
# Where the user's git looks for things. What says which repository is meant (GIT_DIR and the like, set in every
# hook) is left out: the one that the folder lies in is.
_KEPT = re.compile(r"GIT_(?:CEILING_DIRECTORIES|DISCOVERY_ACROSS_FILESYSTEM|EXEC_PATH|CONFIG_(?:GLOBAL|(?:NO)?SYSTEM))")

_running: set[subprocess.Popen[bytes]] = set()
_stopped = threading.Event()


class GitState(NamedTuple):
    """``facts`` for the record, and the ``patch`` that leads from the commit to the work tree (may be empty).

    Bytes of the patch that are no UTF-8 are lone surrogates in it (``surrogateescape``).
    """

    facts: dict[str, Any]
    patch: str


class _Git:
    """Commands in one folder, within one time."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._deadline = time.monotonic() + TIME_LIMIT
        self._config = [*_users_config(), *_OFF.items()]
        self.slow = False

    @property
    def left(self) -> float:
        """Seconds that are left."""
        return max(0.0, self._deadline - time.monotonic())

    def run(self, *arguments: str, limit: int = 10_000_000) -> bytes | None:
        """Output of a command, its first ``limit`` bytes; None where it fails or time is up."""
        program = shutil.which("git")  # looking it up itself, subprocess would touch the warnings filters
        if (
            program is None or not Path(program).is_absolute() or _stopped.is_set()
        ):  # never one that lies in the repository
            return None
        try:
            process = subprocess.Popen(
                [program, "--no-pager", *arguments],
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
                env=self._environment(),
            )
        except OSError:  # no git here
            return None
        _running.add(process)
        try:
            output, whole = self._read(process, limit)
            if not whole and len(output) < limit:
                self.slow = True
                return None
            if not whole:
                return output
            return output if process.wait(self.left) == 0 else None
        except subprocess.TimeoutExpired:
            self.slow = True
            return None
        finally:
            _end(process)

    def _environment(self) -> dict[str, str]:
        env = {
            name: value for name, value in os.environ.items() if not name.startswith("GIT_") or _KEPT.fullmatch(name)
        }
        env.update(_QUIET, GIT_CONFIG_COUNT=str(len(self._config)))
        for index, (key, value) in enumerate(self._config):
            env[f"GIT_CONFIG_KEY_{index}"], env[f"GIT_CONFIG_VALUE_{index}"] = key, value
        return env

    def _read(self, process: subprocess.Popen[bytes], limit: int) -> tuple[bytes, bool]:
        """(output, whether that is all of it), without waiting longer than the time that is left."""
        assert process.stdout is not None
        pieces: list[bytes] = []
        size = 0
        while size < limit:
            if not readable(process.stdout.fileno(), self.left):
                return b"".join(pieces), False
            piece = os.read(process.stdout.fileno(), min(1 << 16, limit - size))
            if not piece:
                return b"".join(pieces), True
            pieces.append(piece)
            size += len(piece)
        return b"".join(pieces), False

    def line(self, *arguments: str) -> str | None:
        """Output of one line; None where it is empty."""
        output = self.run(*arguments)
        return os.fsdecode(output).removesuffix("\n") or None if output else None

    def distrust_repository(self) -> None:
        """Switch off the filters and diff drivers that the repository's own configuration names."""
        listed = self.run("config", "--show-scope", "--name-only", "-z", "--get-regexp", r"^(filter|diff)\.")
        words = os.fsdecode(listed or b"").split("\0")
        for scope, key in zip(words[::2], words[1::2], strict=False):
            section, _, rest = key.partition(".")
            driver, dot, variable = rest.rpartition(".")
            if scope in ("local", "worktree") and dot:
                off = "false" if variable in ("required", "cachetextconv", "binary") else ""
                self._config.append((f"{section}.{driver}.{variable}", off))

    def remote(self) -> str | None:
        """URL of ``origin``, else of the first remote."""
        listed = self.run("config", "-z", "--get-regexp", r"^remote\..*\.url$")
        found = [line.partition("\n") for line in os.fsdecode(listed or b"").split("\0") if line]
        urls = {key: url for key, _, url in found}
        return urls.get("remote.origin.url") or next(iter(urls.values()), None)


def _users_config() -> list[tuple[str, str]]:
    """What the user gives every git by ``GIT_CONFIG_COUNT``; ours comes after it and so wins."""
    count = os.environ.get("GIT_CONFIG_COUNT", "")
    pairs = []
    for index in range(min(int(count), 1000) if count.isascii() and count.isdigit() else 0):
        key, value = (os.environ.get(f"GIT_CONFIG_{part}_{index}") for part in ("KEY", "VALUE"))
        if key and value is not None:
            pairs.append((key, value))
    return pairs


def _end(process: subprocess.Popen[bytes]) -> None:
    """Let nothing of it run on: neither git nor what git started, which may still hold the pipe."""
    if process.returncode is None:
        with suppress(OSError):
            os.killpg(process.pid, signal.SIGKILL)  # it leads a session of its own
    assert process.stdout is not None
    process.stdout.close()
    process.wait()
    _running.discard(process)


def stop() -> None:
    """At exit, when there is no more time: a git that hangs is not left behind, and none is started."""
    _stopped.set()
    for process in list(_running):
        with suppress(OSError):
            os.killpg(process.pid, signal.SIGKILL)


def git_state(folder: Path, early: Callable[[dict[str, Any]], None] | None = None) -> GitState | None:
    """The work tree that ``folder`` is in; None outside one, without git, or where git refuses the repository.

    Args:
        folder: Any folder.
        early: Is called with the facts that are known at once; the others may take as long as the tree is large.
    """
    git = _Git(folder)
    top = git.line("rev-parse", "--show-toplevel")
    if not top:
        return None
    git.distrust_repository()
    commit = git.line("rev-parse", "--verify", "--quiet", "HEAD")
    facts: dict[str, Any] = {
        "root": top,
        "commit": commit,
        "branch": git.line("symbolic-ref", "--short", "--quiet", "HEAD"),  # None: detached
        "remote": git.remote(),
    }
    if early is not None:
        early(dict(facts))
    status = git.run(
        "status", "--porcelain", "-z", "--untracked-files=normal", "--no-renames", "--ignore-submodules=all",
        limit=_ENOUGH,
    )  # fmt: skip
    facts["dirty"] = None if status is None else bool(status)
    patch = _Patch()
    if facts["dirty"]:
        _fill(patch, git, Path(top), commit)
    if patch.left_out:
        facts["left_out"] = patch.left_out[:_MAX_LEFT_OUT]
        facts["left_out_count"] = len(patch.left_out)
    if patch.truncated:
        facts["truncated"] = True
    if git.slow:
        facts["timed_out"] = True
    return GitState(facts, patch.text())


class _Patch:
    """Pieces of a patch up to ``MAX_PATCH`` bytes."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._room = MAX_PATCH
        self.truncated = False
        self.left_out: list[str] = []

    def add(self, piece: bytes) -> None:
        if len(piece) > self._room:
            piece = piece[: self._room]
            piece = piece[: piece.rfind(b"\n") + 1]  # half a line may be half a secret, which no rule knows
            self.truncated, self._room = True, 0
        self._room -= len(piece)
        self._pieces.append(piece)

    def text(self) -> str:
        return b"".join(self._pieces).decode(errors="surrogateescape")


def _fill(patch: _Patch, git: _Git, top: Path, commit: str | None) -> None:
    """Changes of tracked files, then untracked text files as new ones."""
    against = commit or git.line("hash-object", "-t", "tree", os.devnull) or ""
    changed = git.run("-C", str(top), "diff", *_DIFF, against, "--", limit=MAX_PATCH + 1) or b""
    for section in re.split(rb"(?m)^(?=diff --git )", changed):
        header, _, body = section.partition(b"\n")
        if not body:  # only its times differ
            continue
        if re.search(rb"^Binary files .* differ$", body, re.MULTILINE) and b"\n@@" not in section:
            half = header.removeprefix(b"diff --git ")  # "a/NAME b/NAME"
            patch.left_out.append(os.fsdecode(half[: len(half) // 2]).strip('"').removeprefix("a/"))
        else:
            patch.add(section)
    listed = git.run("-C", str(top), "ls-files", "--others", "--exclude-standard", "-z", limit=_ENOUGH) or b""
    for index, name in enumerate(listed.split(b"\0")[:-1]):
        new = b""
        if index < _MAX_UNTRACKED and not patch.truncated and git.left:
            new = _as_new(top, name)
        if new:
            patch.add(new)
        else:
            patch.left_out.append(os.fsdecode(name))


def _as_new(top: Path, name: bytes) -> bytes:
    """An untracked text file as the patch that makes it; empty for anything else."""
    path = top / os.fsdecode(name)
    try:
        if path.is_symlink() or not path.is_file() or path.stat().st_size > _MAX_UNTRACKED_BYTES:
            return b""
        content = path.read_bytes()
        content.decode()
        mode = b"100755" if path.stat().st_mode & 0o100 else b"100644"
    except (OSError, UnicodeDecodeError):
        return b""
    if b"\0" in content:
        return b""
    old, new = _quoted(b"a/" + name), _quoted(b"b/" + name)
    head = b"diff --git %b %b\nnew file mode %b\n" % (old, new, mode)
    if not content:
        return head + b"index 0000000..e69de29\n"  # without this line git finds nothing to apply
    lines = content.split(b"\n")
    last = lines.pop()
    body = b"".join(b"+%b\n" % line for line in lines)
    if last:
        body += b"+%b\n\\ No newline at end of file\n" % last
    count = len(lines) + bool(last)
    return head + b"--- /dev/null\n+++ %b\n@@ -0,0 +1,%d @@\n" % (new, count) + body


def _quoted(name: bytes) -> bytes:
    """A name as git writes it: in quotes, with escapes, where a patch could not be read otherwise."""
    try:
        plain = name.decode().isprintable() and not re.search(rb'["\\ ]', name)
    except UnicodeDecodeError:
        plain = False
    if plain:
        return name
    return b'"%b"' % re.sub(rb"[^ !#-\[\]-~]", lambda match: b"\\%03o" % match[0][0], name)
